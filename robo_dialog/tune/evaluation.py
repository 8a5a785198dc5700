"""How good a detector is on labelled episodes: pure functions of labels and verdicts; knows no model and no file.

Balanced accuracy, recalls, AUROC and calibration error judge every episode by its probability and threshold, as if
nobody might abstain; `coverage` and `decided_balanced_accuracy` tell what abstaining buys. Figures that the episodes do
not determine are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robo_dialog.tune.metrics import (
    McNemar,
    Recalls,
    auroc,
    balanced_accuracy,
    bootstrap_interval,
    expected_calibration_error,
    mcnemar,
    near_miss_false_positive_rate,
    recalls,
)

SMALLEST_PLACE = 10
"""Episodes that a place of recording needs for figures of its own; smaller ones are counted together."""
OTHER_PLACES = "(others)"


@dataclass(frozen=True)
class Seen:
    """What a detector made of the frames: all cameras together, or one of them alone."""

    probability: float
    """P(success) in [0, 1]."""
    threshold: float
    uncertain: bool = False
    """Whether the verdict was UNCERTAIN."""

    @property
    def called(self) -> bool:
        """Whether success is the likelier side."""
        return self.probability >= self.threshold


@dataclass(frozen=True)
class Judged:
    """One labelled episode and the verdicts on it."""

    episode_id: str
    success: bool
    family: str
    """Instruction with its objects masked."""
    place: str
    """Where it was recorded."""
    near_miss: bool | None
    seen: Seen
    cameras: Mapping[str, Seen] = field(default_factory=dict)
    """By camera, each alone."""
    paraphrased: tuple[bool, ...] = ()
    """Whether success is the likelier side when the instruction is put in other words, one a paraphrase."""
    beginning: bool | None = None
    """Whether the first frames were called a success, where there are some."""


@dataclass(frozen=True)
class Figures:
    """The figures of one set of episodes."""

    n: int
    successes: int
    balanced_accuracy: float
    interval: tuple[float, float]
    """95 % of the balanced accuracy when episodes are drawn anew."""
    recall_success: float
    recall_failure: float
    auroc: float
    ece: float
    near_miss_fpr: float
    """Near misses that were called a success."""
    paraphrase_flip_rate: float
    """Paraphrases under which the likelier side is another one than for the instruction itself."""
    beginning_fpr: float
    """First frames that were called a success, before anything was done."""
    coverage: float
    """Episodes whose verdict is not UNCERTAIN."""
    decided_balanced_accuracy: float
    """Of those episodes."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of all episodes and of their parts."""

    whole: Figures
    by_family: Mapping[str, Figures]
    by_camera: Mapping[str, Figures]
    """Every camera as if there were no other."""
    by_place: Mapping[str, Figures]


@dataclass(frozen=True)
class Comparison:
    """Two detectors on the same episodes."""

    difference: float
    """Balanced accuracy of the first minus that of the second."""
    interval: tuple[float, float]
    """95 % of the difference when episodes are drawn anew, the same ones for both."""
    test: McNemar


def evaluate(episodes: Sequence[Judged], *, draws: int = 1000, seed: int = 0) -> Evaluation:
    """All figures.

    Args:
        episodes: at least one of each class.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    parts = {
        kind: {name: figures_of(some, draws=draws, seed=seed) for name, some in groups.items()}
        for kind, groups in slices_of(episodes).items()
    }
    whole = figures_of(episodes, draws=draws, seed=seed)
    return Evaluation(whole, by_family=parts["family"], by_camera=parts["camera"], by_place=parts["place"])


def slices_of(episodes: Sequence[Judged]) -> dict[str, dict[str, list[Judged]]]:
    """The episodes by `family`, by `camera`, each as if there were no other, and by `place`; names in order."""
    places = _merged_places(episodes)
    cameras = sorted({camera for one in episodes for camera in one.cameras})
    return {
        "family": _groups(episodes, lambda one: one.family),
        "camera": {name: [seen_by(one, name) for one in episodes if name in one.cameras] for name in cameras},
        "place": _groups(episodes, lambda one: places[one.place]),
    }


def figures_of(episodes: Sequence[Judged], *, draws: int = 1000, seed: int = 0) -> Figures:
    """The figures of some episodes."""
    labels, called = labels_of(episodes), called_of(episodes)
    both = recalls(labels, called)
    probabilities = np.array([one.seen.probability for one in episodes], np.float64)
    near = np.array([bool(one.near_miss) for one in episodes], np.bool_)
    decided = np.array([not one.seen.uncertain for one in episodes], np.bool_)
    return Figures(
        n=len(episodes),
        successes=int(labels.sum()),
        balanced_accuracy=(both.success + both.failure) / 2,
        interval=_interval(labels, called, episodes, draws, seed),
        recall_success=both.success,
        recall_failure=both.failure,
        auroc=auroc(labels, probabilities),
        ece=expected_calibration_error(labels, probabilities),
        near_miss_fpr=near_miss_false_positive_rate(labels, called, near),
        paraphrase_flip_rate=_mean(said != one.seen.called for one in episodes for said in one.paraphrased),
        beginning_fpr=_mean(one.beginning for one in episodes if one.beginning is not None),
        coverage=_mean(decided),
        decided_balanced_accuracy=balanced_accuracy(labels[decided], called[decided]),
    )


def compare(first: Sequence[Judged], second: Sequence[Judged], *, draws: int = 1000, seed: int = 0) -> Comparison:
    """The first detector against the second.

    Raises:
        ValueError: they did not judge the same episodes in the same order.
    """
    if [one.episode_id for one in first] != [one.episode_id for one in second]:
        raise ValueError("both detectors must have judged the same episodes")
    labels, mine, theirs = labels_of(first), called_of(first), called_of(second)

    def difference(rows: NDArray[np.intp]) -> float:
        return balanced_accuracy(labels[rows], mine[rows]) - balanced_accuracy(labels[rows], theirs[rows])

    ids = [one.episode_id for one in first]
    return Comparison(
        difference=difference(np.arange(len(ids))),
        interval=bootstrap_interval(difference, ids, draws=draws, seed=seed),
        test=mcnemar(labels, mine, theirs),
    )


def always(episodes: Sequence[Judged], answer: bool) -> Recalls:
    """Recalls of the detector that gives everybody the same answer."""
    return recalls(labels_of(episodes), np.full(len(episodes), answer))


def seen_by(episode: Judged, camera: str) -> Judged:
    """The episode as one camera alone shows it; what was only asked of all cameras together is left out."""
    return Judged(
        episode.episode_id, episode.success, episode.family, episode.place, episode.near_miss, episode.cameras[camera]
    )


def labels_of(episodes: Sequence[Judged]) -> NDArray[np.bool_]:
    """[N] true where the episode succeeded."""
    return np.array([one.success for one in episodes], np.bool_)


def called_of(episodes: Sequence[Judged]) -> NDArray[np.bool_]:
    """[N] true where success was the likelier side."""
    return np.array([one.seen.called for one in episodes], np.bool_)


def _interval(
    labels: NDArray[np.bool_], called: NDArray[np.bool_], episodes: Sequence[Judged], draws: int, seed: int
) -> tuple[float, float]:
    return bootstrap_interval(
        lambda rows: balanced_accuracy(labels[rows], called[rows]),
        [one.episode_id for one in episodes],
        draws=draws,
        seed=seed,
    )


def _groups(episodes: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {}
    for one in episodes:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))


def _merged_places(episodes: Sequence[Judged]) -> dict[str, str]:
    """What each place counts as: a thousand videos of one episode each are no thousand sources."""
    counts: dict[str, int] = {}
    for one in episodes:
        counts[one.place] = counts.get(one.place, 0) + 1
    return {place: place if count >= SMALLEST_PLACE else OTHER_PLACES for place, count in counts.items()}


def _mean(flags: Iterable[bool | None]) -> float:
    values = [bool(flag) for flag in flags]
    return sum(values) / len(values) if values else math.nan
