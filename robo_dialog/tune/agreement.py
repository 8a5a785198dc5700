"""A calibration without any label: from heaps of margins, and from agreement of cameras, wordings and augmentations.

What is fitted sees margins and instructions, and nothing else of a pool. Where a family of instructions gives no ground
to change anything, its boundary between success and failure stays where the detector had it.

Shapes: `E` episodes, `C` cameras, `S` other sights of the same frames; NaN where there is no margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.tasks import Task, best_name
from robo_dialog.tune.camera_weights import camera_weights, weights_by_family
from robo_dialog.tune.confidence import doubt_band, temperatures_by_agreement
from robo_dialog.tune.heaps import Heaps, find_heaps

Floats = NDArray[np.float64]

_DIGITS = 6
_STEEPEST = 20.0
"""Largest log-odds of a threshold; 0 and 1 have infinite ones."""


@dataclass(frozen=True)
class Population:
    """What a model said of the outcomes of a pool."""

    cameras: tuple[str, ...]
    """[C]"""
    families: tuple[str, ...]
    """[E] family of each episode's instruction, as `Lexicon.family` gives it."""
    margins: Floats
    """[E, C] of final frames, in logits."""
    sights: Floats
    """[S, E, C] of the same frames slightly changed, or asked about in other words."""

    def part(self, rows: NDArray[np.bool_]) -> Population:
        """Some episodes (E,) of it."""
        return Population(
            self.cameras,
            tuple(family for family, wanted in zip(self.families, rows.tolist(), strict=True) if wanted),
            self.margins[rows],
            self.sights[:, rows],
        )


@dataclass(frozen=True)
class Family:
    """One family of instructions and what was found of it."""

    name: str
    said: Population
    weights: Floats
    """[C] of the cameras: learned ones where the boundary is, too; those of the calibration before elsewhere."""
    heaps: Heaps
    """By learned weights, if there are some."""


@dataclass(frozen=True)
class Agreed:
    """A calibration and what it rests on."""

    calibration: Calibration
    families: Sequence[Family]
    weights: Mapping[str, float]
    """Weights of cameras over all families; empty if they could not be told."""
    yes_share: float
    """Outcomes that are called a success now."""
    yes_share_before: float


def fit_by_agreement(population: Population, base: Calibration, doubt: float = 0.05) -> Agreed:
    """The calibration of a pool without labels.

    Args:
        population: at least one episode.
        base: how margins become verdicts so far; what is not fitted stays as it is there.
        doubt: share of wrong verdicts, as views that contradict each other let expect it, that UNCERTAIN must prevent.
    """
    overall = camera_weights(population.margins, _groups(population))
    families = _families(population, base, overall)
    temperatures = temperatures_by_agreement([_views(one) for one in families])
    usual = int(np.median(np.isfinite(population.margins).sum(1)))
    calibration = replace(
        base,
        temperatures={count: round(one, _DIGITS) for count, one in temperatures.items()} or base.temperatures,
        bias=0.0,
        threshold=0.5,
        task_thresholds={},
        offset=boundary(base, usual),
        tasks=_tasks(base, usual, {one.name: _task(one) for one in families if not one.heaps.reason}),
        method=_method(population, families, overall is not None, doubt if temperatures else None),
    )
    if temperatures:
        half = round(doubt_band(probabilities(population, calibration), doubt), _DIGITS)
        calibration = replace(calibration, abstention_band=(-half, half))
    weights = {} if overall is None else dict(zip(population.cameras, overall.tolist(), strict=True))
    return Agreed(calibration, families, weights, yes_share(population, calibration), yes_share(population, base))


def boundary(calibration: Calibration, frames: int) -> float:
    """The fused margin over this many frames at which a calibration, of one instruction, turns to success."""
    p = min(max(calibration.threshold, 1e-12), 1 - 1e-12)
    odds = min(max(math.log(p / (1 - p)), -_STEEPEST), _STEEPEST)
    return round(calibration.offset + calibration.temperature(frames) * (odds - calibration.bias), _DIGITS)


def yes_share(population: Population, calibration: Calibration) -> float:
    """Share of the outcomes that a calibration calls a success."""
    thresholds = np.array([calibration.threshold_for(family) for family in population.families])
    return float((probabilities(population, calibration) >= thresholds).mean())


def probabilities(population: Population, calibration: Calibration) -> Floats:
    """P(success) (E,) of the outcomes, by the cameras that each one has."""
    found = []
    for row, family in zip(population.margins, population.families, strict=True):
        own, there = calibration.of(family), np.isfinite(row)
        cameras = [camera for camera, seen in zip(population.cameras, there.tolist(), strict=True) if seen]
        found.append(own.probability(own.fuse(row[there].tolist(), cameras), len(cameras)))
    return np.array(found)


def _families(population: Population, base: Calibration, overall: Floats | None) -> list[Family]:
    groups, names = _groups(population), sorted(set(population.families))
    learned = {} if overall is None else weights_by_family(population.margins, groups, overall)
    found = []
    for number, name in enumerate(names):
        said, before = population.part(groups == number), np.array(base.of(name).weights(population.cameras))
        heaps = find_heaps(said.margins, learned.get(number, before))
        found.append(Family(name, said, before if heaps.reason else learned.get(number, before), heaps))
    return found


def _groups(population: Population) -> NDArray[np.intp]:
    """[E] number of each episode's family, in alphabetical order."""
    return np.unique(np.array(population.families), return_inverse=True)[1]


def _task(family: Family) -> Task:
    weights = zip(family.said.cameras, family.weights.tolist(), strict=True)
    offset = round(family.heaps.split.threshold, _DIGITS)
    return Task(offset, {camera: round(weight, _DIGITS) for camera, weight in weights})


def _tasks(base: Calibration, frames: int, moved: Mapping[str, Task]) -> dict[str, Task]:
    """The new tasks, and the old ones that belong to none of them, with boundaries in place of thresholds."""
    others = [name for name in (*base.tasks, *base.task_thresholds) if best_name(moved, name) is None]
    kept = {name: base.of(name) for name in others}
    return {**{name: Task(boundary(one, frames), one.camera_weights) for name, one in kept.items()}, **moved}


def _views(family: Family) -> tuple[Floats, Floats, Floats]:
    """Margins, what they are compared with, and weights; see `temperatures_by_agreement`."""
    said = family.said
    single = said.margins.shape[1] == 1
    parts = said.sights if single else np.concatenate([said.margins[None], said.sights])
    averaged = parts.mean(0) if len(parts) else np.full_like(said.margins, np.nan)
    return said.margins, averaged, family.weights


def _method(population: Population, families: Sequence[Family], weighed: bool, doubt: float | None) -> str:
    """How the calibration was made, in words."""
    moved = [one.name for one in families if not one.heaps.reason]
    kept = [f"{one.name!r} ({one.heaps.reason})" for one in families if one.heaps.reason]
    cameras, sights = len(population.cameras), len(population.sights)
    parts = [
        f"no label was used; {len(population.families)} episodes of a pool, {cameras} cameras",
        f"offsets of {len(moved)} of {len(families)} families of instructions, where margins lie in two heaps",
        *([f"as before: {', '.join(kept)}"] if kept else []),
        "cameras of those families weighed by their agreement with the others"
        if weighed and moved
        else "weights of cameras as before",
        "temperature and abstention as before"
        if doubt is None
        else f"temperature from agreement across {cameras} cameras and {sights} other wordings and augmentations, "
        f"abstention where that leaves more than {doubt:.0%} of the verdicts to be expected wrong",
    ]
    return "; ".join(parts)
