"""Who answers success questions: a vision-language model, or the detector bundle that is served."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.graph import SCORER
from robo_dialog.detect.preprocess import PREPROCESS
from robo_dialog.detect.scorer import TOKENIZER
from robo_dialog.play.judging import judge, sight_of
from robo_dialog.vlm.prompts import success_question
from robo_dialog.vlm.protocol import VLM, Image


class Judge(Protocol):
    """Answers the success question about images."""

    @property
    def identity(self) -> str:
        """What tells its margins from those of every other one."""
        ...

    @property
    def calibration(self) -> Calibration:
        """How its margins become verdicts when nothing else is said."""
        ...

    def margins(self, images: Sequence[Image], wordings: Sequence[str]) -> NDArray[np.float64]:
        """Logit of "yes" minus logit of "no" (N,), one for each image with its wording; NaN where there is no answer.

        Args:
            images: N images (H, W, 3) uint8 RGB.
            wordings: N instructions.

        Raises:
            RequestError: a wording or an image is not acceptable.
            ModelError: the model cannot answer at all.
        """
        ...

    def answers(self, images: Sequence[Image], questions: Sequence[str]) -> NDArray[np.float64]:
        """The same of any yes/no questions (N,); NaN where there is no answer, or the question cannot be put.

        Raises:
            ModelError: the model cannot answer at all, or takes no question but the one about success.
        """
        ...


@dataclass(frozen=True)
class ModelJudge:
    """A model through the protocol that play uses; its probabilities are taken as they are."""

    vlm: VLM
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def identity(self) -> str:
        """The model's own."""
        return self.vlm.identity

    def margins(self, images: Sequence[Image], wordings: Sequence[str]) -> NDArray[np.float64]:
        """See `Judge.margins`."""
        return self.answers(images, [success_question(wording) for wording in wordings])

    def answers(self, images: Sequence[Image], questions: Sequence[str]) -> NDArray[np.float64]:
        """See `Judge.answers`."""
        by_name = {str(id(image)): image for image in images}
        sights = [sight_of(by_name, str(id(image)), "") for image in images]
        return judge(self.vlm, list(zip(sights, questions, strict=True))).margins


@dataclass(frozen=True)
class BundleJudge:
    """A detector bundle, without torch: the margins are those that its verdicts are made of."""

    detector: Detector

    @property
    def identity(self) -> str:
        """Of all that margins depend on: bundles that differ in nothing but their calibration answer alike."""
        files = self.detector.manifest.files
        hashes = "".join(files[name].sha256 for name in (SCORER, TOKENIZER, PREPROCESS))
        return f"{self.detector.manifest.name}-{hashlib.sha256(hashes.encode()).hexdigest()[:16]}"

    @property
    def calibration(self) -> Calibration:
        """The bundle's own."""
        return self.detector.calibration

    def margins(self, images: Sequence[Image], wordings: Sequence[str]) -> NDArray[np.float64]:
        """See `Judge.margins`."""
        return self.detector.margins(images, wordings)

    def answers(self, images: Sequence[Image], questions: Sequence[str]) -> NDArray[np.float64]:
        """See `Judge.answers`."""
        return self.detector.answers(images, questions)
