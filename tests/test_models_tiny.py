"""The embedded model: loads like any SmolVLM, agrees with its own bundle, and knows its tabletop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig

from robo_dialog.detect.detector import Detector
from robo_dialog.detect.verdict import Frame
from robo_dialog.models import embedded_bundle, embedded_model
from robo_dialog.vlm.prompts import ANSWERS, success_question
from robo_dialog.vlm.protocol import Message
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.episode import Episode
from robo_episodes.images import encode_png
from robo_episodes.layout import builtin_layouts
from robo_episodes.recordings import read, scan

RECORDINGS = Path(__file__).parent / "data"
LARGEST_MB = 15


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    recordings = scan([RECORDINGS / "tabletop_source.hdf5"], builtin_layouts()).recordings
    found = [episode for recording in recordings for episode in read(recording) if isinstance(episode, Episode)]
    assert len(found) == 6
    return found


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(embedded_bundle())


def test_the_checkpoint_is_a_smolvlm() -> None:
    assert AutoConfig.from_pretrained(embedded_model()).model_type == "smolvlm"


def test_model_and_bundle_are_small() -> None:
    size = sum(path.stat().st_size for folder in (embedded_model(), embedded_bundle()) for path in folder.iterdir())
    assert size <= LARGEST_MB * 1e6


def test_verdicts_on_unseen_episodes_are_mostly_right(detector: Detector, episodes: list[Episode]) -> None:
    verdicts = []
    for episode in episodes:
        frames = [Frame(encode_png(source.last(1)[0]), name) for name, source in episode.cameras.items()]
        verdict = detector.verdict(frames, str(episode.instruction))
        verdicts.append((verdict.probability >= verdict.threshold) == episode.success)
    assert sum(verdicts) >= len(episodes) - 1


def test_the_bundle_repeats_the_checkpoint(detector: Detector, episodes: list[Episode]) -> None:
    vlm = TransformersVLM(embedded_model(), device="cpu")
    images = [source.last(1)[0] for episode in episodes for source in episode.cameras.values()]
    tasks = [str(episode.instruction) for episode in episodes for _ in episode.cameras]
    scores = vlm.score(
        [(Message("user", success_question(t), (i,)),) for t, i in zip(tasks, images, strict=True)], ANSWERS
    )
    eager = scores[:, 1] - scores[:, 0]
    served = [
        detector.calibration.probability(margin, 1) for margin in eager
    ]  # the detector shows probabilities, not margins
    shown = [detector.verdict([i], t).frame_probabilities[0] for t, i in zip(tasks, images, strict=True)]
    np.testing.assert_allclose(shown, served, atol=1e-4)
