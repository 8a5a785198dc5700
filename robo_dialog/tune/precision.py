"""The lowest threshold whose successes can be believed: a chosen precision, at a stated confidence. Pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.9


def precision_threshold(
    labels: NDArray[np.bool_], probabilities: NDArray[np.float64], precision: float, confidence: float = CONFIDENCE
) -> float | None:
    """The lowest threshold above which at least a share `precision` of the episodes are successes.

    Guarantee: with probability `confidence` over the labelled episodes, P(success | probability >= threshold) >=
    `precision` for new episodes from where these were drawn. Thresholds are tested one after the other from the
    highest on, each by the exact binomial bound, and the first that fails ends the search, so that looking at many
    costs nothing (fixed sequence testing; Angelopoulos et al. 2021, "Learn then Test").

    Finite sample: the first test is made where `fewest_successes` episodes lie above, because fewer could not pass even
    if all of them were successes.

    Args:
        labels: (N,) true where the episode succeeded.
        probabilities: (N,) P(success); not fitted on these episodes.
        precision: in (0, 1).
        confidence: in (0, 1).

    Returns:
        The threshold, halfway to the next lower probability, or None if the episodes prove none.
    """
    order = np.argsort(-probabilities, kind="stable")
    ordered, right = probabilities[order], np.cumsum(labels[order])
    found = None
    for count in _counts(ordered, fewest_successes(precision, confidence)):
        if _p_value(int(right[count - 1]), count, precision) > 1 - confidence:
            break
        below = float(ordered[count]) if count < len(ordered) else 0.0
        found = (float(ordered[count - 1]) + below) / 2
    return found


def fewest_successes(precision: float, confidence: float = CONFIDENCE) -> int:
    """Episodes, all of them successes, that just prove the precision: log(1 - confidence) / log(precision)."""
    return math.ceil(math.log(1 - confidence) / math.log(precision) - 1e-9)


def _counts(ordered: NDArray[np.float64], first: int) -> list[int]:
    """How many episodes lie above each threshold that is tried: where the probability really falls."""
    ends = np.append(np.flatnonzero(np.diff(ordered)) + 1, len(ordered))
    return [int(end) for end in ends if end >= first]


def _p_value(right: int, count: int, precision: float) -> float:
    """Probability of at least `right` successes in `count` episodes if the precision were just missed."""
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(k + 1)
        - math.lgamma(count - k + 1)
        + k * math.log(precision)
        + (count - k) * math.log1p(-precision)
        for k in range(right, count + 1)
    ]
    return math.fsum(math.exp(one) for one in logs)
