"""What the demonstration asks about: episodes that are simulated now, read back through the ordinary readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["SUCCESS", "FAILURE", "UNCERTAIN"]


@dataclass(frozen=True)
class CameraFrame:
    """The last image of one camera."""

    camera: str
    image: bytes
    """As it lies in the frame pool: JPEG or PNG."""


@dataclass(frozen=True)
class Case:
    """One episode to judge."""

    domain: str
    episode_id: str
    instruction: str
    success: bool
    """What the simulator's physics says; never sent to the server."""
    frames: tuple[CameraFrame, ...]


@dataclass(frozen=True)
class Answer:
    """What the server said of one case."""

    case: Case
    verdict: Verdict
    probability: float
    """Calibrated P(success) in [0, 1]."""
    threshold: float
    """The probability around which SUCCESS and FAILURE part, in [0, 1]."""
    latency_ms: float
    """From sending the request to holding the answer."""
