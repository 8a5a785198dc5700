"""The exception tree of robo-dialog and its mapping to exit codes.

RoboDialogError
├── RecordingError, PoolError   see robo_episodes.errors
├── ConfigError                 an option or a configuration file is wrong
├── ModelError                  a model, tokenizer or processor cannot be used
├── BundleError                 a detector bundle is incomplete, altered or of another version
└── RequestError                a request to the detector is invalid (image, instruction, counts)
"""

from __future__ import annotations

from robo_episodes.errors import LayoutError, PoolError, RecordingError, RoboDialogError, UnreadableError


class ConfigError(RoboDialogError):
    """An option or a configuration file is wrong."""


class ModelError(RoboDialogError):
    """A model, tokenizer or processor cannot be loaded or used."""


class BundleError(RoboDialogError):
    """A detector bundle is incomplete, altered, or of another schema version."""


class RequestError(RoboDialogError):
    """A request is invalid; `field` is the path of the offending field, `reason` a fixed text safe to send."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


EXIT_CODES: dict[type[RoboDialogError], int] = {
    ConfigError: 2,
    RecordingError: 3,
    UnreadableError: 3,
    LayoutError: 3,
    PoolError: 4,
    ModelError: 5,
    BundleError: 6,
    RequestError: 7,
}

__all__ = [
    "EXIT_CODES",
    "BundleError",
    "ConfigError",
    "LayoutError",
    "ModelError",
    "PoolError",
    "RecordingError",
    "RequestError",
    "RoboDialogError",
    "UnreadableError",
]
