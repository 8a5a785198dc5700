"""Bands of abstention with a guarantee that holds for any model and any number of episodes: pure functions.

Split conformal prediction, class by class (Mondrian; Vovk, Gammerman and Shafer 2005, chapter 4.5). A label is left out
of the prediction set of an episode if fewer than a share alpha of the calibration episodes *of that label* look as
untypical of it. Two labels in the set mean UNCERTAIN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cuts:
    """Where verdicts are given, in probability minus threshold."""

    failure_below: float
    """FAILURE below this, never at it; -inf where there are too few successes to ever say so."""
    success_above: float
    """SUCCESS above this, never at it; inf where there are too few failures to ever say so."""


def fewest(alpha: float) -> int:
    """Calibration episodes of a class without which the other verdict is never given.

    Args:
        alpha: in (0, 1).
    """
    return math.ceil(1 / alpha - 1e-9) - 1


def conformal_cuts(labels: Flags, scores: Floats, alpha: float) -> Cuts:
    """Cuts under which each class is mistaken for the other in at most a share alpha of new episodes.

    Guarantee: if the calibration episodes of a class and a new episode of that class are exchangeable, and the scores
    were not fitted on any of them, then P(FAILURE | success) <= alpha and P(SUCCESS | failure) <= alpha, on average
    over calibration sets of this size, whatever the model and the distribution. It is a guarantee for each class as a
    whole, not for every instruction or camera in it, and it ends where the domain shifts.

    Finite sample: with n calibration episodes of a class, the cut is its floor(alpha (n + 1))-th most untypical one.
    With fewer than `fewest(alpha)` episodes that is none, and the verdict against that class is never given.

    Args:
        labels: (N,) true where the episode succeeded.
        scores: (N,) anything that grows with success, here probability minus threshold.
        alpha: largest share of mistakes within a class, in (0, 1).
    """
    return Cuts(
        failure_below=_cut(np.sort(scores[labels]), alpha),
        success_above=-_cut(np.sort(-scores[~labels]), alpha),
    )


def conformal_band(labels: Flags, scores: Floats, alpha: float) -> tuple[float, float]:
    """The cuts as offsets (low <= 0, high >= 0) from thresholds, for `Calibration.abstention_band`.

    Verdicts follow the cuts, except that an episode which is typical of neither class, between cuts that have changed
    sides, gets the verdict on its side of the threshold. The guarantee of `conformal_cuts` holds.

    Args:
        labels: (N,) true where the episode succeeded.
        scores: (N,) P(success) minus the threshold of its instruction, in [-1, 1].
        alpha: largest share of mistakes within a class, in (0, 1).
    """
    cuts = conformal_cuts(labels, scores, alpha)
    # UNCERTAIN includes its lower edge and not its upper one; a score at the upper cut must still be inside
    low, high = max(cuts.failure_below, -1.0), min(float(np.nextafter(cuts.success_above, np.inf)), 1.0)
    return min(low, 0.0), max(high, 0.0)


def _cut(ordered: Floats, alpha: float) -> float:
    """The floor(alpha (n + 1))-th smallest of n; -inf if that is none."""
    place = math.floor(alpha * (len(ordered) + 1) + 1e-9)
    return float(ordered[place - 1]) if place >= 1 else -math.inf
