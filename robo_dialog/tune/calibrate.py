"""Fits a `Calibration` to labelled episodes: temperatures, bias, thresholds, abstention; pure functions, no model.

Everything here is fitted on the episodes it is given, so its figures flatter it: measure on others.
Shapes: `E` episodes, each with the margins of its own 1 to 16 frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.calibration import MAX_FRAMES, Calibration
from robo_dialog.play.words import lexicon
from robo_dialog.tune.metrics import expected_calibration_error
from robo_dialog.vlm.prompts import normalized

Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]

_FEWEST_EPISODES = 20
"""A number of frames gets its own temperature only if this many episodes have so many frames."""
_PRIOR = 0.1
"""Pull towards temperature 1 and bias 0: nothing against fifty episodes, enough to keep separable ones finite."""
_SLOPES = (0.02, 50.0)
_BIASES = (-20.0, 20.0)
_FINEST_BAND = 512


@dataclass(frozen=True)
class LabelledEpisode:
    """What the model said of one episode, and whether it succeeded."""

    margins: tuple[float, ...]
    """One a frame, in logits, in the order in which frames are sent at serving."""
    success: bool
    instruction: str = ""
    cameras: tuple[str, ...] = field(default=())
    """One a frame; empty if the cameras have no names."""


def fit_calibration(
    episodes: Sequence[LabelledEpisode],
    base: Calibration | None = None,
    *,
    target_error: float = 0.05,
    task_minimum: int = 30,
) -> Calibration:
    """Fit everything on the same episodes, in the order in which it is applied.

    Args:
        episodes: of both classes, none of them used for training.
        base: gives weights of cameras and offsets; its temperatures, thresholds and band are fitted anew.
        target_error: share of wrong verdicts, among those that are not UNCERTAIN, that the band must reach.
        task_minimum: an instruction or family gets its own threshold if it has this many episodes of each class.

    Raises:
        ValueError: no episodes, one class only, or an episode with no or more than 16 frames.
    """
    fitted = fit_probabilities(episodes, base or Calibration(), task_minimum)
    labels, probabilities = labels_of(episodes), episode_probabilities(episodes, fitted)
    shift = np.array([fitted.threshold_for(one.instruction) - fitted.threshold for one in episodes])
    before = expected_calibration_error(labels, episode_probabilities(episodes, _untempered(base or Calibration())))
    after = expected_calibration_error(labels, probabilities)
    return replace(
        fitted,
        abstention_band=abstention_band(labels, probabilities - shift, fitted.threshold, target_error),
        method=f"temperature and bias by log loss, threshold by balanced accuracy, abstention for at most "
        f"{target_error:.0%} errors, on {len(labels)} labelled episodes ({int(labels.sum())} successes); "
        f"ECE there {before:.3f} before, {after:.3f} after",
    )


def fit_probabilities(episodes: Sequence[LabelledEpisode], base: Calibration, task_minimum: int = 30) -> Calibration:
    """Temperatures, bias and thresholds, without a band; see `fit_calibration`."""
    labels = labels_of(episodes)
    if labels.all() or not labels.any():
        raise ValueError("calibration needs successes and failures, the episodes have one class only")
    plain = _untempered(base)
    temperatures, bias = fit_temperatures(episodes, plain)
    fitted = replace(plain, temperatures=temperatures, bias=bias)
    probabilities = episode_probabilities(episodes, fitted)
    return replace(
        fitted,
        threshold=best_threshold(labels, probabilities),
        task_thresholds={
            name: best_threshold(labels[rows], probabilities[rows])
            for name, rows in tasks_of(episodes).items()
            if min(labels[rows].sum(), (~labels[rows]).sum()) >= task_minimum
        },
    )


def labels_of(episodes: Sequence[LabelledEpisode]) -> Flags:
    """[E] true where the episode succeeded."""
    return np.array([episode.success for episode in episodes], dtype=np.bool_)


def tasks_of(episodes: Sequence[LabelledEpisode]) -> dict[str, list[int]]:
    """Row numbers by instruction, and by family of instructions; an instruction without slots is a family of one."""
    rows: dict[str, list[int]] = defaultdict(list)
    words = lexicon(one.instruction for one in episodes)
    for row, one in enumerate(episodes):
        own = normalized(one.instruction)
        for name in {own, words.family(own)} - {""}:
            rows[name].append(row)
    return dict(rows)


def episode_probabilities(episodes: Sequence[LabelledEpisode], calibration: Calibration) -> Floats:
    """P(success) [E] of each episode, all its frames fused."""
    found = []
    for one in episodes:
        own = calibration.of(one.instruction)
        found.append(own.probability(own.fuse(one.margins, _cameras(one)), len(one.margins)))
    return np.array(found)


def fit_temperatures(episodes: Sequence[LabelledEpisode], calibration: Calibration) -> tuple[dict[int, float], float]:
    """Temperatures by number of fused frames and one bias for all, by least log loss.

    An episode of n frames stands for every lower number k too, as its n // k runs of k frames, each with weight
    1 / (n // k).

    Args:
        episodes: of both classes.
        calibration: gives weights of cameras and offsets; its temperatures and bias are not looked at.

    Raises:
        ValueError: an episode has no or more than 16 frames.
    """
    if not all(1 <= len(one.margins) <= MAX_FRAMES for one in episodes):
        raise ValueError(f"every episode needs 1 to {MAX_FRAMES} margins")
    lengths = np.array([len(one.margins) for one in episodes])
    enough = [k for k in range(2, MAX_FRAMES + 1) if (lengths >= k).sum() >= _FEWEST_EPISODES]
    counts = [1, *enough]
    margins, labels, weights, groups = [], [], [], []
    for group, k in enumerate(counts):
        for one in episodes:
            runs = len(one.margins) // k
            for run in range(runs):
                margins.append(_shifted(one, calibration, slice(run * k, (run + 1) * k)))
                labels.append(one.success)
                weights.append(1 / runs)
                groups.append(group)
    design = np.zeros((len(margins), len(counts) + 1))
    design[np.arange(len(margins)), groups] = margins
    design[:, -1] = 1
    *slopes, bias = _least_log_loss(design, np.array(labels, dtype=np.float64), np.array(weights))
    return {k: float(1 / slope) for k, slope in zip(counts, slopes, strict=True)}, float(bias)


def log_loss(labels: Flags, probabilities: Floats) -> float:
    """Mean negative log-likelihood of the labels, in nats; probabilities are kept 1e-12 away from 0 and 1."""
    safe = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return float(-np.where(labels, np.log(safe), np.log1p(-safe)).mean())


def best_threshold(labels: Flags, probabilities: Floats) -> float:
    """The threshold with the highest balanced accuracy; of several, the one nearest to 0.5.

    Only midpoints between neighbouring probabilities are looked at, so that no episode lies on the threshold.

    Args:
        labels: [E] true where the episode succeeded; both classes.
        probabilities: [E] P(success).
    """
    values = np.unique(probabilities)
    if len(values) < 2:
        return 0.5
    cuts = (values[:-1] + values[1:]) / 2
    successes, failures = np.sort(probabilities[labels]), np.sort(probabilities[~labels])
    recalled = 1 - np.searchsorted(successes, cuts) / len(successes)
    refused = np.searchsorted(failures, cuts) / len(failures)
    accuracy = recalled + refused
    best = cuts[accuracy >= accuracy.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def abstention_band(labels: Flags, probabilities: Floats, threshold: float, target_error: float) -> tuple[float, float]:
    """The band around the threshold with fewest episodes in it that leaves at most `target_error` errors outside.

    Args:
        labels: [E] true where the episode succeeded.
        probabilities: [E] P(success).
        threshold: where SUCCESS and FAILURE part.
        target_error: highest share of wrong verdicts among the episodes outside the band.

    Returns:
        Offsets (low <= 0, high >= 0) from the threshold; (0, 0) if the target is met without abstaining.
    """
    above = probabilities >= threshold
    low, low_errors = _cuts(threshold - probabilities[~above], labels[~above])
    high, high_errors = _cuts(probabilities[above] - threshold, ~labels[above])
    inside = low[:, None] + high[None, :]
    errors = low_errors[:, None] + high_errors[None, :]
    allowed = errors <= target_error * (len(labels) - inside) + 1e-9
    order = np.where(allowed, inside * (len(labels) + 1) + errors, np.inf)
    row, column = np.unravel_index(int(np.argmin(order)), order.shape)
    below = _reach(threshold - probabilities[~above], int(low[row]), threshold)
    beyond = _reach(probabilities[above] - threshold, int(high[column]), 1 - threshold + 1e-6)
    return (-min(below, 1.0), min(beyond, 1.0))


def _cuts(distances: Floats, wrong: Flags) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many of the nearest episodes may be left out (none, some, all), and the errors that then remain."""
    order = np.argsort(distances, kind="stable")
    near = distances[order]
    counts = np.unique(np.linspace(0, len(near), min(len(near), _FINEST_BAND) + 1).astype(np.intp))
    # equal probabilities cannot be told apart by a band: keep cuts that do not run through them
    inner = np.clip(counts, 1, max(len(near) - 1, 1))
    whole = (counts == 0) | (counts == len(near))
    if len(near) > 1:
        whole |= near[inner - 1] != near[inner]
    counts = counts[whole]
    remaining = np.concatenate([[0], np.cumsum(wrong[order])]).astype(np.intp)
    return counts, remaining[-1] - remaining[counts]


def _reach(distances: Floats, count: int, limit: float) -> float:
    """Distance from the threshold that holds the `count` nearest episodes."""
    if count == 0:
        return 0.0
    near = np.sort(distances)
    return float((near[count - 1] + near[count]) / 2) if count < len(near) else limit


def _shifted(episode: LabelledEpisode, calibration: Calibration, part: slice) -> float:
    """The fused margin of some frames, without the offset."""
    own = calibration.of(episode.instruction)
    return own.fuse(episode.margins[part], _cameras(episode)[part]) - own.offset


def _cameras(episode: LabelledEpisode) -> tuple[str, ...]:
    return episode.cameras or ("",) * len(episode.margins)


def _untempered(base: Calibration) -> Calibration:
    return replace(base, temperatures={1: 1.0}, bias=0.0, threshold=0.5, task_thresholds={}, abstention_band=(0.0, 0.0))


def _least_log_loss(design: Floats, labels: Floats, weights: Floats) -> Floats:
    """Logistic regression by damped Newton steps, slopes kept positive: the loss is convex and the columns are few."""
    prior = np.ones(design.shape[1])
    prior[-1] = 0
    low = np.full(design.shape[1], _SLOPES[0])
    high = np.full(design.shape[1], _SLOPES[1])
    low[-1], high[-1] = _BIASES

    def loss(at: Floats) -> float:
        logits = design @ at
        return float(weights @ (np.logaddexp(0, logits) - labels * logits) + _PRIOR / 2 * ((at - prior) ** 2).sum())

    at = prior.copy()
    for _ in range(100):
        chances = 1 / (1 + np.exp(-np.clip(design @ at, -500, 500)))
        gradient = design.T @ (weights * (chances - labels)) + _PRIOR * (at - prior)
        curvature = (design * (weights * chances * (1 - chances))[:, None]).T @ design + _PRIOR * np.eye(len(at))
        step = np.linalg.solve(curvature, gradient)
        tries = (np.clip(at - step / 2**k, low, high) for k in range(30))
        better = next((one for one in tries if loss(one) < loss(at) - 1e-12), None)
        if better is None:
            break
        at = better
    return at
