"""From a pool and margins to a calibration without labels. Neither this module nor anything it imports reads labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.calibration import Calibration
from robo_dialog.play.words import lexicon
from robo_dialog.tune.agreement import Agreed, Population, fit_by_agreement
from robo_dialog.tune.margins import Margins, Query
from robo_dialog.tune.passes import Views
from robo_dialog.tune.verdicts import asked
from robo_dialog.vlm.prompts import normalized


def calibrate_without_labels(views: Views, base: Calibration, margins: Margins, doubt: float = 0.05) -> Agreed:
    """Calibrate on the outcomes in view.

    Args:
        views: what was asked about.
        base: how margins become verdicts so far.
        margins: know all that `views` asks.
        doubt: see `fit_by_agreement`.
    """
    return fit_by_agreement(population_of(views, base, margins), base, doubt)


def population_of(views: Views, base: Calibration, margins: Margins) -> Population:
    """What a model said of the outcomes in view, cameras in alphabetical order."""
    outcomes = views.outcomes
    cameras = tuple(sorted({camera for outcome in outcomes for camera in outcome.frames}))
    words = lexicon(outcome.instruction for outcome in outcomes)
    said = [asked(base, outcome.instruction) for outcome in outcomes]
    finals = [outcome.frames for outcome in outcomes]
    sights = [_margins(margins, cameras, finals, wordings) for wordings in _paraphrased(views, base)]
    sights += [
        _margins(margins, cameras, finals, [(normalized(outcome.instruction),) for outcome in outcomes], seed)
        for seed in range(views.augmentations)
    ]
    return Population(
        cameras=cameras,
        families=tuple(words.family(outcome.instruction) for outcome in outcomes),
        margins=_margins(margins, cameras, finals, said),
        sights=np.array(sights).reshape(len(sights), len(outcomes), len(cameras)),
    )


def _paraphrased(views: Views, base: Calibration) -> Iterable[Sequence[tuple[str, ...]]]:
    """Wordings of every outcome, once for each paraphrase; those with fewer say their last one again."""
    others = [views.paraphrases.others(outcome.instruction) for outcome in views.outcomes]
    for place in range(max(map(len, others), default=0)):
        yield [
            asked(base, said[min(place, len(said) - 1)] if said else outcome.instruction)
            for said, outcome in zip(others, views.outcomes, strict=True)
        ]


def _margins(
    margins: Margins,
    cameras: Sequence[str],
    frames: Sequence[Mapping[str, str]],
    wordings: Sequence[tuple[str, ...]],
    augmentation: int | None = None,
) -> NDArray[np.float64]:
    """[E, C] means over the wordings; NaN where an episode lacks a camera."""
    found = np.full((len(frames), len(cameras)), np.nan)
    for row, (by_camera, said) in enumerate(zip(frames, wordings, strict=True)):
        for place, camera in enumerate(cameras):
            if frame_id := by_camera.get(camera):
                found[row, place] = np.mean([margins.known[Query(frame_id, one, augmentation)] for one in said])
    return found
