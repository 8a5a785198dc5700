"""How much each camera sees of the outcome, learned from agreement alone: pure functions, no labels.

A camera that sees the outcome varies with the other cameras; one that does not is noise or a constant. From its
correlation r with the consensus of the others and the spread s of its margins, a camera gets the weight
r / (1 - r²) / s, which is that of the best linear combination if the cameras err independently. The consensus is
weighed in the same way, so a few rounds settle both.

Shapes: `E` episodes, `C` cameras; NaN where an episode lacks a camera.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

FEWEST_CAMERAS = 3
"""Of two cameras that disagree, nobody knows which one to believe."""
FEWEST_EPISODES = 80
_ROUNDS = 5
_QUIETEST = 0.1
"""Smallest spread that counts, as a share of the largest: what hardly varies is not to be amplified."""
_LARGEST = 0.95
"""Correlation from which on a camera is not believed more: none decides alone."""


def camera_weights(margins: Floats, groups: Places) -> Floats | None:
    """Weights (C,) with mean 1, or None if they cannot be told.

    Args:
        margins: (E, C) in logits.
        groups: (E,) number of the family of each episode; what differs between families is no agreement.
    """
    if margins.shape[1] < FEWEST_CAMERAS or len(margins) < FEWEST_EPISODES:
        return None
    centred = margins.copy()
    for group in np.unique(groups):
        rows = groups == group
        centred[rows] -= _mean(margins[rows])
    spread = np.sqrt(_mean(centred**2))
    if not spread.max() > 0:
        return None
    spread = np.maximum(spread, _QUIETEST * spread.max())
    standard = centred / spread
    trust = _trust(best_agreements(standard), len(margins))  # one that contradicts all must not silence the others
    for _ in range(_ROUNDS):
        trust = _trust([_with_others(standard, trust, camera) for camera in range(len(trust))], len(margins))
    return _normalised(trust / spread)


def weights_by_family(margins: Floats, groups: Places, overall: Floats) -> dict[int, Floats]:
    """Weights (C,) of each family that has enough episodes; which camera sees the outcome depends on the task.

    A hundred episodes tell weights only roughly, so they are drawn halfway to those of all families, in logarithms.

    Args:
        margins: (E, C) in logits.
        groups: (E,) number of the family of each episode.
        overall: (C,) what `camera_weights` found over all.
    """
    found = {}
    for group in np.unique(groups):
        rows = groups == group
        own = camera_weights(margins[rows], groups[rows])
        if own is not None:
            found[int(group)] = _normalised(np.sqrt(own * overall))
    return found


def best_agreements(margins: Floats) -> list[float]:
    """The largest correlation of each camera with another one, of two or more."""
    cameras = range(margins.shape[1])
    return [
        max(correlation(margins[:, one], margins[:, other]) for other in cameras if other != one) for one in cameras
    ]


def fused(margins: Floats, weights: Floats) -> Floats:
    """Weighted means (E,) over the cameras that each episode has; NaN where it has none.

    Args:
        margins: (E, C).
        weights: (C,) or (E, C), > 0.
    """
    there = np.isfinite(margins)
    total = (there * weights).sum(1)
    sums = (np.where(there, margins, 0) * weights).sum(1)
    return np.asarray(np.divide(sums, total, out=np.full(len(margins), np.nan), where=total > 0))


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's, over the episodes (E,) that have both; 0 where nothing varies or hardly any has both."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < FEWEST_EPISODES or not one[both].std() or not other[both].std():
        return 0.0
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _trust(agreements: Sequence[float], episodes: int) -> Floats:
    """What a camera that agrees so far is worth; less than chance gives is chance, and chance weighs all alike."""
    bounded = np.clip(agreements, 1 / math.sqrt(episodes), _LARGEST)
    return np.asarray(bounded / (1 - bounded**2))


def _with_others(standard: Floats, trust: Floats, camera: int) -> float:
    others = np.delete(standard, camera, axis=1)
    return correlation(standard[:, camera], fused(others, np.delete(trust, camera)))


def _mean(values: Floats) -> Floats:
    """Means (C,) of what is there; 0 where nothing is."""
    there = np.isfinite(values)
    return np.asarray(np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1))


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / weights.mean())
