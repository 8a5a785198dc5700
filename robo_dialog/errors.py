"""The exception tree of robo-dialog and its mapping to exit codes.

RoboDialogError
├── ConfigError, RecordingError, PoolError   see robo_episodes.errors
├── ModelError                  a model, tokenizer or processor cannot be used
├── BundleError                 a detector bundle is incomplete, altered or of another version
├── StoreError                  a store of bundles cannot be read or written
│   └── UnknownVersionError     it has no such version
├── RequestError                a request to the detector is invalid (image, instruction, counts)
├── NightlyError                a nightly run cannot go on
│   ├── BusyError               another one is at work
│   └── OverBudgetError         its time is over
└── DetectorError               a served detector gave no verdict; see robo_dialog.detect.client
"""

from __future__ import annotations

from robo_episodes.errors import ConfigError, LayoutError, PoolError, RecordingError, RoboDialogError, UnreadableError


class ModelError(RoboDialogError):
    """A model, tokenizer or processor cannot be loaded or used."""


class BundleError(RoboDialogError):
    """A detector bundle is incomplete, altered, or of another schema version."""


class StoreError(RoboDialogError):
    """A store of bundles is not there, or cannot be read or written."""


class UnknownVersionError(StoreError):
    """A store of bundles has no such version."""


class RequestError(RoboDialogError):
    """A request is invalid; `field` is the path of the offending field, `reason` a fixed text safe to send."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class DetectorError(RoboDialogError):
    """A served detector gave no verdict; the client's errors derive from this one."""


class NightlyError(RoboDialogError):
    """A nightly run cannot go on; the same command takes it up where it stopped."""


class BusyError(NightlyError):
    """Another nightly run is at work in the same folder."""


class OverBudgetError(NightlyError):
    """The time of a night is over."""


EXIT_CODES: dict[type[RoboDialogError], int] = {
    ConfigError: 2,
    RecordingError: 3,
    UnreadableError: 3,
    LayoutError: 3,
    PoolError: 4,
    ModelError: 5,
    BundleError: 6,
    StoreError: 6,
    UnknownVersionError: 6,
    RequestError: 7,
    DetectorError: 8,
    NightlyError: 9,
    BusyError: 9,
    OverBudgetError: 9,
}

__all__ = [
    "EXIT_CODES",
    "BundleError",
    "BusyError",
    "ConfigError",
    "DetectorError",
    "LayoutError",
    "ModelError",
    "NightlyError",
    "OverBudgetError",
    "PoolError",
    "RecordingError",
    "RequestError",
    "RoboDialogError",
    "StoreError",
    "UnknownVersionError",
    "UnreadableError",
]
