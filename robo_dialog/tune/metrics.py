"""How good verdicts are: pure functions of labels, predictions and probabilities; knows no model and no file.

Accuracy is missing on purpose: on robot data, where most episodes are of one class, always answering that class
looks good by it. Balanced accuracy gives every constant answer 0.5.

Shapes: `N` is the number of judged episodes. A figure that its input does not determine (the recall of a class that
does not occur, the AUROC of one class) is NaN, never 0 or 1; JSON writers turn it into null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[NDArray[np.intp]], float]


@dataclass(frozen=True)
class Recalls:
    """Share of each class that was recognised, in [0, 1]; NaN where the class does not occur."""

    success: float
    """Episodes that succeeded and were called so, among those that succeeded."""
    failure: float
    """Episodes that failed and were called so, among those that failed."""


@dataclass(frozen=True)
class McNemar:
    """Whether two detectors that judged the same episodes differ; the exact, two-sided form of the test."""

    first_only: int
    """Episodes that only the first detector judged rightly."""
    second_only: int
    """Episodes that only the second detector judged rightly."""
    p_value: float
    """Probability of so uneven a split, or a more uneven one, if neither detector were better."""


def recalls(labels: Flags, predictions: Flags) -> Recalls:
    """Recall of both classes.

    Args:
        labels: [N] true where the episode succeeded.
        predictions: [N] true where it was called a success.

    Raises:
        ValueError: the lengths differ.
    """
    _same_length(labels, predictions)
    return Recalls(_share(predictions[labels]), _share(~predictions[~labels]))


def balanced_accuracy(labels: Flags, predictions: Flags) -> float:
    """Mean of the two recalls: 0.5 for every constant answer, whatever the mix of classes; NaN if a class is absent.

    Args:
        labels: [N] true where the episode succeeded.
        predictions: [N] true where it was called a success.

    Raises:
        ValueError: the lengths differ.
    """
    both = recalls(labels, predictions)
    return (both.success + both.failure) / 2


def auroc(labels: Flags, scores: Floats) -> float:
    """Probability that a success scores above a failure, ties counting half (the Mann-Whitney form).

    Args:
        labels: [N] true where the episode succeeded.
        scores: [N] any monotone score of success.

    Raises:
        ValueError: the lengths differ.
    """
    _same_length(labels, scores)
    successes, failures = int(labels.sum()), int((~labels).sum())
    if not successes or not failures:
        return math.nan
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[labels].sum() - successes * (successes + 1) / 2) / (successes * failures))


def expected_calibration_error(labels: Flags, probabilities: Floats, bins: int = 10) -> float:
    """Mean distance between stated probability and observed share of successes, over equal-width bins.

    Bins are of P(success) itself, not of the winning class, so that an overconfident "no" cannot cancel an
    overconfident "yes". The last bin includes 1.

    Args:
        labels: [N] true where the episode succeeded.
        probabilities: [N] P(success) in [0, 1].
        bins: number of bins; each weighs as many episodes as fall into it.

    Raises:
        ValueError: the lengths differ, or a probability is outside [0, 1].
    """
    _same_length(labels, probabilities)
    if not labels.size:
        return math.nan
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"probabilities must lie in [0, 1], got {probabilities.min()} to {probabilities.max()}")
    place = np.minimum((probabilities * bins).astype(np.intp), bins - 1)
    gap = np.bincount(place, weights=probabilities - labels, minlength=bins)
    return float(np.abs(gap).sum() / labels.size)


def near_miss_false_positive_rate(labels: Flags, predictions: Flags, near_miss: Flags) -> float:
    """Share of near misses (failures that almost look done) that were called a success.

    Args:
        labels: [N] true where the episode succeeded.
        predictions: [N] true where it was called a success.
        near_miss: [N] true where a failure came close; ignored on successes.

    Raises:
        ValueError: the lengths differ.
    """
    _same_length(labels, predictions)
    _same_length(labels, near_miss)
    return _share(predictions[near_miss & ~labels])


def mcnemar(labels: Flags, first: Flags, second: Flags) -> McNemar:
    """Exact McNemar test of two detectors on the same episodes.

    Args:
        labels: [N] true where the episode succeeded.
        first: [N] the first detector's predictions.
        second: [N] the second detector's predictions.

    Raises:
        ValueError: the lengths differ.
    """
    _same_length(labels, first)
    _same_length(labels, second)
    first_only = int(((first == labels) & (second != labels)).sum())
    second_only = int(((first != labels) & (second == labels)).sum())
    differ = first_only + second_only
    tail = sum(math.comb(differ, k) for k in range(min(first_only, second_only) + 1))
    return McNemar(first_only, second_only, min(1.0, 2 * tail / 2**differ))


def bootstrap_interval(
    statistic: Statistic, episodes: Sequence[str], *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of `statistic` when whole episodes are drawn anew with replacement.

    Rows of one episode stay together: two cameras of one attempt are not two pieces of evidence. Draws in which the
    statistic is NaN (a class was not drawn) are left out.

    Args:
        statistic: called with the drawn row numbers [N']; returns the figure for those rows.
        episodes: [N] episode id of each row.
        draws: how many times to draw.
        level: share of the draws that the interval holds.
        seed: seed of the draws; the same seed gives the same interval.

    Returns:
        (low, high), both NaN if there is nothing to draw from or no draw determines the statistic.
    """
    _, member = np.unique(np.asarray(episodes, dtype=np.str_), return_inverse=True)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    if not member.size:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    picks = random.integers(len(rows), size=(draws, len(rows)))
    values = np.array([statistic(np.concatenate([rows[k] for k in pick])) for pick in picks])
    values = values[~np.isnan(values)]
    if not values.size:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if flags.size else math.nan


def _same_length(labels: Flags, other: Flags | Floats) -> None:
    if labels.shape != other.shape:
        raise ValueError(f"one value per label is needed: {labels.shape} labels, {other.shape} values")
