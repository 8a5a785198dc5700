"""Where the successes of a family of instructions begin, if its margins lie in two heaps: pure functions, no labels.

A shift of domain moves the margins of a family long before it mixes them up; the gap between two heaps then is a better
boundary than the one the model was born with. One heap tells nothing, not even whether it is of successes, and skewed
ones can look like two; so the cameras must also agree which episode lies in which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from robo_dialog.play.splitting import FEWEST, Split, robust_split
from robo_dialog.tune.camera_weights import best_agreements, fused

Floats = NDArray[np.float64]

_LEVEL = 0.05
"""How often cameras that have nothing in common pass for agreeing."""


@dataclass(frozen=True)
class Heaps:
    """What was found of one family."""

    split: Split
    """Of its fused margins."""
    agreement: float | None
    """Largest correlation between two of its cameras; None for a single camera."""
    reason: str
    """Why its offset is left as it was; empty if it is not."""

    @property
    def offset(self) -> float | None:
        """Where successes begin, in logits; None: as before."""
        return None if self.reason else self.split.threshold


def find_heaps(margins: Floats, weights: Floats) -> Heaps:
    """Look for two heaps in one family.

    Args:
        margins: (E, C) of final frames, NaN where an episode lacks a camera.
        weights: (C,) of the cameras.
    """
    means = fused(margins, weights)
    found, agreement = robust_split(means[np.isfinite(means)]), agreement_of(margins)
    reason = ""
    if found.count < FEWEST:
        reason = f"only {found.count} episodes, {FEWEST} are needed"
    elif not found.trust:
        reason = "its margins lie in one heap"
    elif agreement is not None and agreement <= least_agreement(margins):
        reason = "the cameras do not agree which episode lies in which heap"
    return Heaps(found, agreement, reason)


def agreement_of(margins: Floats) -> float | None:
    """The largest correlation between two cameras of (E, C) margins; None for a single camera."""
    return max(best_agreements(margins)) if margins.shape[1] > 1 else None


def least_agreement(margins: Floats) -> float:
    """The correlation that cameras without anything in common exceed in one of twenty families of (E, C) margins."""
    pairs = math.comb(margins.shape[1], 2)
    return NormalDist().inv_cdf(1 - _LEVEL / max(pairs, 1)) / math.sqrt(len(margins))
