"""A calibration from labelled episodes, each part fitted on episodes of its own so that its guarantee holds.

fitting      temperature, bias, thresholds by balanced accuracy
precision    thresholds for a chosen precision, if one is chosen; see `precision`
abstention   the band, by split conformal prediction; see `conformal`
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.tasks import ANY
from robo_dialog.errors import PoolError
from robo_dialog.tune.calibrate import (
    LabelledEpisode,
    episode_probabilities,
    fit_probabilities,
    labels_of,
    tasks_of,
)
from robo_dialog.tune.conformal import conformal_band, fewest
from robo_dialog.tune.labels import Label
from robo_dialog.tune.margins import Margins, Query
from robo_dialog.tune.metrics import expected_calibration_error
from robo_dialog.tune.passes import Views
from robo_dialog.tune.precision import CONFIDENCE, fewest_successes, precision_threshold
from robo_dialog.tune.verdicts import asked


@dataclass(frozen=True)
class Wanted:
    """What the calibration shall promise."""

    alpha: float = 0.05
    """Largest share of successes that are called failures, and of failures that are called successes."""
    precision: float | None = None
    """Least share of true successes among those that are called so; None: thresholds by balanced accuracy."""
    task_minimum: int = 30
    """Episodes of each class that an instruction or family needs for a threshold of its own."""


def calibrate_with_labels(
    episodes: Mapping[str, LabelledEpisode], base: Calibration, wanted: Wanted, pool: str
) -> Calibration:
    """Fit each part on its own episodes.

    Args:
        episodes: by episode id, of both classes; none of them used for training.
        base: gives weights of cameras, offsets and wordings.
        wanted: what to promise.
        pool: where the episodes come from, for messages.

    Raises:
        PoolError: too few episodes for what is wanted.
    """
    parts = split_by_class(episodes, 2 if wanted.precision is None else 3)
    for part in parts:
        if len({one.success for one in part}) < 2:
            raise PoolError(
                f"{pool}: {len(episodes)} labelled episodes are too few of one class to calibrate on; "
                f"at least {len(parts)} of each class are needed"
            )
    fitted = fit_probabilities(parts[0], base, wanted.task_minimum)
    if wanted.precision is not None:
        fitted = _with_precision(fitted, parts[1], wanted.precision, pool)
    held_out, labels = parts[-1], labels_of(parts[-1])
    probabilities = episode_probabilities(held_out, fitted)
    thresholds = np.array([fitted.threshold_for(one.instruction) for one in held_out])
    before = expected_calibration_error(labels, episode_probabilities(held_out, base))
    after = expected_calibration_error(labels, probabilities)
    return replace(
        fitted,
        abstention_band=conformal_band(labels, probabilities - thresholds, wanted.alpha),
        method=f"{_method(parts, fitted, wanted)}; ECE on those {before:.3f} before, {after:.3f} after",
    )


def labelled_episodes(
    views: Views, base: Calibration, margins: Margins, labels: Mapping[str, Label]
) -> dict[str, LabelledEpisode]:
    """Margins beside labels, by episode id; several wordings of a calibration are averaged, as serving does."""
    found = {}
    for outcome in views.outcomes:
        if outcome.episode_id not in labels:
            continue
        said = asked(base, outcome.instruction)
        means = [
            float(np.mean([margins.known[Query(frame_id, one)] for one in said]))
            for frame_id in outcome.frames.values()
        ]
        success = labels[outcome.episode_id].success
        found[outcome.episode_id] = LabelledEpisode(tuple(means), success, outcome.instruction, tuple(outcome.frames))
    return found


def split_by_class(episodes: Mapping[str, LabelledEpisode], parts: int) -> list[list[LabelledEpisode]]:
    """Parts of equal size and mix of classes; which episode goes where depends on its id alone, as if by chance."""
    order = sorted(episodes, key=lambda identity: hashlib.sha256(identity.encode()).digest())
    dealt: list[list[LabelledEpisode]] = [[] for _ in range(parts)]
    for success in (True, False):
        own = [identity for identity in order if episodes[identity].success is success]
        for place, identity in enumerate(own):
            dealt[place % parts].append(episodes[identity])
    return dealt


def _with_precision(
    fitted: Calibration, episodes: Sequence[LabelledEpisode], precision: float, pool: str
) -> Calibration:
    labels, probabilities = labels_of(episodes), episode_probabilities(episodes, fitted)
    overall = precision_threshold(labels, probabilities, precision)
    if overall is None:
        raise PoolError(
            f"{pool}: {len(episodes)} of its labelled episodes, set aside for that, do not prove a precision of "
            f"{precision:g} at any threshold; {fewest_successes(precision)} clear successes among them are needed at "
            "least: add labelled episodes, or give a lower --precision"
        )
    own, left = _own_thresholds(episodes, labels, probabilities, precision)
    if left.any():
        # What was proved of all together need not hold of the rest of them: it is proved anew, or nobody has his own.
        rest = precision_threshold(labels[left], probabilities[left], precision)
        overall, own = (overall, {}) if rest is None else (rest, own)
    return replace(fitted, threshold=overall, task_thresholds=own)


def _own_thresholds(
    episodes: Sequence[LabelledEpisode], labels: NDArray[np.bool_], probabilities: NDArray[np.float64], precision: float
) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """Thresholds of instructions, then of families without these, and which episodes (E,) are left."""
    own, left = {}, np.ones(len(episodes), np.bool_)
    tasks = tasks_of(episodes)
    # a family that has a single instruction so far comes before that one, and serves those to come, too
    for name in sorted(tasks, key=lambda one: (len(tasks[one]), ANY not in one.split(), one)):
        rows = tasks[name]
        some = np.array(rows)[left[rows]]
        found = precision_threshold(labels[some], probabilities[some], precision)
        if found is not None:
            own[name] = found
            left[some] = False
    return own, left


def _method(parts: Sequence[Sequence[LabelledEpisode]], fitted: Calibration, wanted: Wanted) -> str:
    """How the calibration was made, in words."""
    thresholds = "threshold by balanced accuracy"
    if wanted.precision is not None:
        thresholds = (
            f"thresholds for a precision of {wanted.precision:g} at {CONFIDENCE:.0%} confidence each, on "
            f"{len(parts[1])} others"
        )
    counts = [sum(one.success is success for one in parts[-1]) for success in (True, False)]
    silent = [word for word, count in zip(("FAILURE", "SUCCESS"), counts, strict=True) if count < fewest(wanted.alpha)]
    never = f" (too few to ever say {' or '.join(silent)} so surely)" if silent else ""
    return (
        f"temperature and bias by log loss on {len(parts[0])} labelled episodes; {thresholds}; "
        f"{len(fitted.task_thresholds)} instructions or families with their own; abstention by split conformal "
        f"prediction on {len(parts[-1])} others, so that at most {100 * wanted.alpha:g}% of the new episodes of each "
        f"class are called the other{never}"
    )
