"""The arithmetic of a Guesser who judges every candidate by itself: posterior, information gain, guess.

Pure functions of P(yes | candidate, question). Probabilities are kept off 0 and 1, so that no single answer can rule a
candidate out for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EPSILON = 0.02
"""How often even a sure answer is taken to be wrong."""


def posterior(candidate_p_yes: Sequence[Sequence[float]], answers: Sequence[bool]) -> Floats:
    """P(candidate is the target | answers), (N,), from a uniform start.

    Args:
        candidate_p_yes: (T, N), the Guesser's P(yes) of each turn's question for each candidate.
        answers: (T,) the Describer's answers.

    Raises:
        ValueError: there is no turn, so that nobody knows how many candidates there are.
    """
    if not candidate_p_yes:
        raise ValueError("no turn to judge the candidates by")
    p = _soft(np.asarray(candidate_p_yes, np.float64))
    likelihood = np.where(np.asarray(answers, bool)[:, None], p, 1 - p)
    log = np.log(likelihood).sum(0)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def information_gain(prior: Floats, p_yes: Floats) -> Floats:
    """Expected bits that the answer to each question tells about which candidate is the target.

    Args:
        prior: (N,) probability of each candidate.
        p_yes: (Q, N) P(yes) of each question for each candidate.

    Returns:
        (Q,) bits: entropy of the answer minus its mean entropy once the target is known. 0 where all candidates would
        answer alike.
    """
    p = _soft(p_yes)
    return np.asarray(_entropy(p @ prior) - _entropy(p) @ prior)


def best_guess(weights: Floats, rng: np.random.Generator) -> int:
    """Index of the largest weight; ties, within rounding, are broken by chance and not by place."""
    ties = np.flatnonzero(weights >= weights.max() - 1e-9)
    return int(ties[int(rng.integers(len(ties)))])


def _soft(p: Floats) -> Floats:
    return np.asarray(EPSILON + (1 - 2 * EPSILON) * p)


def _entropy(p: Floats) -> Floats:
    """Bits of a yes/no answer."""
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))
