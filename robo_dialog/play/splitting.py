"""Where the scores of a population of answers fall into two heaps, and whether they do at all. Label-free.

A shift of domain moves all scores of one kind of question long before it mixes them up. If they still lie in two heaps,
the gap between the heaps is a better threshold than the one the model was born with. If there is no second heap, any
split is an accident, and nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 80
"""Scores below which nothing is concluded."""
SMALLEST_HEAP = 0.08
"""Share of the scores that the smaller heap must hold."""
NO_HEAPS, TWO_HEAPS = 0.70, 0.82
"""Separation up to which one heap is assumed (a normal distribution split in its middle gives 0.64, a uniform one
0.75), and from which two are."""


EVEN = (0.3, 0.7)
"""Upper shares of heaps of about the same size. Only between such heaps does the median lie, at which a robust split
looks closest."""


@dataclass(frozen=True)
class Split:
    """Where scores split best."""

    threshold: float
    """Middle of the gap that gives the least variance within the two sides (Otsu 1979)."""
    separation: float
    """Share of the variance that lies between the two sides, 0 to 1."""
    upper_share: float
    """Share of the scores above the threshold."""
    count: int

    @property
    def trust(self) -> float:
        """0: one heap, or too little to tell; 1: clearly two."""
        if self.count < FEWEST or min(self.upper_share, 1 - self.upper_share) < SMALLEST_HEAP:
            return 0.0
        return float(np.clip((self.separation - NO_HEAPS) / (TWO_HEAPS - NO_HEAPS), 0.0, 1.0))

    @property
    def offset(self) -> float:
        """What to subtract from a score: the threshold, shrunk towards no change as far as the heaps are unclear."""
        return self.threshold * self.trust


def split(scores: npt.ArrayLike) -> Split:
    """The best split of scores (N,), in logits.

    Raises:
        ValueError: a score is not finite.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    if not np.isfinite(ordered).all():
        raise ValueError("scores must be finite")
    count = len(ordered)
    if count < 2 or ordered[0] == ordered[-1]:
        return Split(0.0, 0.0, 0.0, count)
    below = np.arange(1, count)
    sums = np.cumsum(ordered)
    gap = sums[-1] / count - sums[:-1] / below
    between = gap**2 * below / (count - below)
    between[ordered[1:] == ordered[:-1]] = 0.0  # equal scores are never parted
    best = int(between.argmax())
    threshold = (ordered[best] + ordered[best + 1]) / 2
    return Split(float(threshold), float(between[best] / ordered.var()), float(1 - (best + 1) / count), count)


def robust_split(scores: npt.ArrayLike) -> Split:
    """The best split of scores (N,) of which far ones count little more than near ones.

    One heap with a long tail draws the best split of the scores themselves towards the tail: a model is far surer of
    some of its answers than of others, and surer still of those that it was tuned on. Whether there are two heaps is
    judged by the scores as they are.

    Raises:
        ValueError: a score is not finite.
    """
    plain = split(scores)
    values = np.asarray(scores, np.float64)
    middle, scale = float(np.median(values)), float(values.std())
    if not plain.trust or not EVEN[0] <= plain.upper_share <= EVEN[1]:
        return plain
    cut = split(np.tanh((values - middle) / scale)).threshold
    threshold = middle + scale * float(np.arctanh(cut))
    return Split(threshold, plain.separation, float((values > threshold).mean()), plain.count)
