"""What goes into the detector and what comes out; needs numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """What the probability and its threshold conclude."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    UNCERTAIN = "UNCERTAIN"
    """Too near to the threshold to tell; to be treated as neither of the others."""


@dataclass(frozen=True)
class Frame:
    """One encoded image of one camera."""

    data: bytes
    """JPEG or PNG, RGB or grey, 8 bits a channel, sides 16 to 4096 pixels; EXIF orientation is ignored."""
    camera: str = ""
    """Name of the camera; chooses its weight in the calibration, if it has one."""


@dataclass(frozen=True)
class Request:
    """One question to the detector: do these frames show that the instruction was carried out?"""

    frames: Sequence[Frame | NDArray[np.uint8]]
    """1 to 16 views of one moment of one episode; an array is RGB, uint8 [height, width, 3]."""
    instruction: str
    """What the robot was told to do, for example "put the red cube on the plate"; 1 to 512 characters."""


@dataclass(frozen=True)
class Verdict:
    """The detector's answer to one request."""

    outcome: Outcome
    probability: float
    """Calibrated P(success) in [0, 1], fused over the frames."""
    threshold: float
    """The probability around which SUCCESS and FAILURE part for this instruction, in [0, 1]."""
    frame_probabilities: tuple[float, ...]
    """P(success) of each frame by itself, in the order of the request."""
    model_digest: str
    """Digest of the bundle that said so: 64 hex digits."""
