"""What goes into the detector and what comes out; imports nothing, so that commands can show their options at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    step: int | None = None
    """When the image was taken, counted in any steps, >= 0; either every frame of a request has one or none."""


@dataclass(frozen=True)
class Request:
    """One question to the detector: do these frames show that the instruction was carried out?"""

    frames: Sequence[bytes | Frame | NDArray[np.uint8]]
    """1 to 16 views of the end of one attempt; bytes are a JPEG or PNG, an array is RGB, uint8 [height, width, 3]."""
    instruction: str
    """What the robot was told to do, for example "put the red cube on the plate"; 1 to 512 characters."""
    paraphrases: Sequence[str] = ()
    """Up to 4 other wordings of the instruction, which are asked too."""
    explain: bool = False
    """Whether the verdict shall tell what was asked and answered."""


@dataclass(frozen=True)
class Answer:
    """What the model answered to one question about one frame."""

    question: str
    """The prompt, without what stands for the image."""
    frame: int
    """Index of the frame in the request."""
    text: str
    """"yes" or "no", whichever the model finds more likely."""
    yes_probability: float
    """The model's own P("yes") against "no", not calibrated, in [0, 1]."""


@dataclass(frozen=True)
class StepProbability:
    """What the frames of one step say together."""

    step: int
    probability: float
    """Calibrated P(success) in [0, 1]."""


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
    agreement: float = 1.0
    """Share of the wordings that by themselves come to the same side of the threshold, in [0, 1]."""
    step_probabilities: tuple[StepProbability, ...] = ()
    """By step, in their order; empty where the frames have no steps."""
    answers: tuple[Answer, ...] = ()
    """Everything that was asked, wording by wording, where the request wanted an explanation."""
