"""From margins to a verdict: fusion over frames, temperature, threshold, abstention; the content of `calibration.json`.

A margin is the model's logit of "yes" minus that of "no". For one episode seen in n frames:

    fused = Σ weight(camera) · margin / Σ weight(camera)
    P(success) = sigmoid(fused / temperature(n) + bias)
    UNCERTAIN if threshold + band[0] <= P < threshold + band[1], else SUCCESS if P >= threshold, else FAILURE
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robo_dialog.detect.document import Document, canonical_json, parse_document
from robo_dialog.detect.verdict import Outcome
from robo_dialog.errors import BundleError, ModelError
from robo_dialog.vlm.prompts import normalized

CALIBRATION = "calibration.json"
MAX_FRAMES = 16

_KEYS = ("abstention_band", "bias", "camera_weights", "method", "task_thresholds", "temperatures", "threshold")
_TEMPERATURE_RANGE = (0.01, 100.0)


@dataclass(frozen=True)
class Calibration:
    """How margins become verdicts; the default trusts the model as it is."""

    temperatures: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    """By number of fused frames; a count that is not here uses the next lower one, so 1 is always here."""
    bias: float = 0.0
    """Added to the fused margin after the temperature, in logits."""
    threshold: float = 0.5
    """Probability from which on an instruction counts as carried out."""
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of instructions that need their own, by `prompts.normalized` instruction."""
    abstention_band: tuple[float, float] = (0.0, 0.0)
    """Offsets from the threshold, low <= 0 <= high, in probability, between which the verdict is UNCERTAIN."""
    camera_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of a camera in the fusion, > 0; 1 for a camera that is not here."""
    method: str = "none"
    """How all this was fitted and on what, in words."""

    def encode(self) -> bytes:
        """The bytes of `calibration.json`."""
        return canonical_json(
            {
                "abstention_band": list(self.abstention_band),
                "bias": self.bias,
                "camera_weights": dict(self.camera_weights),
                "method": self.method,
                "task_thresholds": dict(self.task_thresholds),
                "temperatures": {str(count): value for count, value in self.temperatures.items()},
                "threshold": self.threshold,
            }
        )

    def fuse(self, margins: Sequence[float], cameras: Sequence[str]) -> float:
        """Weighted mean of the margins of one episode's frames, in logits."""
        weights = [self.camera_weights.get(camera, 1.0) for camera in cameras]
        return math.fsum(w * m for w, m in zip(weights, margins, strict=True)) / math.fsum(weights)

    def probability(self, fused: float, frames: int) -> float:
        """P(success) of a fused margin over this many frames, in [0, 1].

        Raises:
            ModelError: the margin is NaN or infinite; such a model must not be believed in anything.
        """
        if not math.isfinite(fused):
            raise ModelError("the scorer returned a value that is not finite; the model or its input range is broken")
        return sigmoid(fused / self.temperature(frames) + self.bias)

    def temperature(self, frames: int) -> float:
        """The divisor of margins fused over this many frames."""
        return self.temperatures[max(count for count in self.temperatures if count <= frames)]

    def threshold_for(self, instruction: str) -> float:
        """The threshold of this instruction: its own or the default."""
        return self.task_thresholds.get(normalized(instruction), self.threshold)

    def outcome(self, probability: float, threshold: float) -> Outcome:
        """What a probability means next to its threshold."""
        low, high = self.abstention_band
        if threshold + low <= probability < threshold + high:
            return Outcome.UNCERTAIN
        return Outcome.SUCCESS if probability >= threshold else Outcome.FAILURE


def parse_calibration(data: bytes) -> Calibration:
    """Read `calibration.json`.

    Raises:
        BundleError: a key is missing, unknown or out of range.
    """
    document = parse_document(CALIBRATION, data, _KEYS)
    low, high = document.numbers("abstention_band", 2, -1, 1)
    if low > 0 or high < 0:
        document.refuse("abstention_band", "two offsets, the first at most 0, the second at least 0")
    return Calibration(
        temperatures=_temperatures(document),
        bias=document.number("bias", -100, 100),
        threshold=document.number("threshold", 0, 1),
        task_thresholds=document.table("task_thresholds", 0, 1),
        abstention_band=(low, high),
        camera_weights=document.table("camera_weights", 1e-6, 1e6),
        method=document.text("method", 65536),
    )


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-logit) without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1 + grown)


def _temperatures(document: Document) -> dict[int, float]:
    table = document.table("temperatures", *_TEMPERATURE_RANGE)
    counts = {str(count): count for count in range(1, MAX_FRAMES + 1)}
    if "1" not in table or not set(table) <= set(counts):
        raise BundleError(
            f"{document.file}: `temperatures` has the keys {sorted(table)}, expected numbers of frames, 1 to "
            f"{MAX_FRAMES}, with 1 among them; export the bundle again"
        )
    return {counts[key]: value for key, value in table.items()}
