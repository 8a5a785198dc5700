"""Does any kind of instruction end worse than it began? Detectors of the study, on more labelled `target` episodes.

    python benchmarks/families.py [--seeds 0 1 2 3 4] [--round 3] [--judged 1500] [--work runs/self-improvement]

A kind of instruction has about 80 of the 500 episodes that benchmarks/self_improvement.py judges, so that two of them
are 2.5 points. Here the same detectors judge others, three times as many. Nothing is learned. Which rounds would be
served is found out by benchmarks/gates.py, which runs first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console

from improvement_arms import Lab, simulated
from record import record
from robo_dialog.detect.detector import Detector
from robo_dialog.improve.stages import GATE
from robo_dialog.models import embedded_bundle
from robo_dialog.play.run_folder import read_json
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_episodes.pool import FramePool, write_json

SEED = 902
"""Other episodes than those that the study is judged on."""
DRAWS = 2000
NOTES = {
    "episodes": "labelled `target` episodes; of other scenes than those of the study",
    "served": "the last round that came through its gate, by seed",
}


@dataclass(frozen=True)
class Options:
    """Which detectors are judged."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    round: int = 3
    judged: int = 1500
    """Labelled episodes."""
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its detectors."""


@dataclass(frozen=True)
class Rights:
    """Episodes and whether detectors judge them rightly."""

    families: npt.NDArray[np.str_]
    """(N,)"""
    success: npt.NDArray[np.bool_]
    """(N,)"""
    right: npt.NDArray[np.float64]
    """(N,), mean over detectors."""


def main(options: Options) -> None:
    """Judge, compare and write."""
    labs = [Lab(options.work, seed, 0, 0, 0) for seed in options.seeds]
    pool = simulated(options.work / f"judged-families-{options.judged}", "target", "evaluation", SEED, options.judged)
    base = rights(pool, [embedded_bundle()])
    figures: dict[str, float] = {"episodes": options.judged, "base": accuracy(base)}
    figures |= {f"{family.split()[0]}_base": accuracy(base, family) for family in sorted(set(base.families))}
    rounds: dict[str, list[Path]] = {
        f"cross_view_r{options.round}": [lab.folder("cross_view", options.round) for lab in labs],
        "supervised_r1": [lab.folder("supervised", 1) for lab in labs],
        "served": [served(lab, options.round) for lab in labs],
    }
    for name, folders in rounds.items():
        after = rights(pool, [folder / "bundle" for folder in folders])
        figures[name] = accuracy(after)
        figures |= {f"{key}_{name}": value for key, value in by_family(base, after).items()}
    Console().print(figures)
    record("families", figures, NOTES)


def served(lab: Lab, last: int) -> Path:
    """Folder of the last round up to which all came through the gate, which benchmarks/gates.py puts before them."""
    rounds = [lab.folder("cross_view", number) for number in range(1, last + 1)]
    passed = list(takewhile(lambda folder: read_json(folder / GATE)["promoted"], rounds))
    return passed[-1] if passed else lab.folder("recalibrated", 0)


def by_family(base: Rights, after: Rights) -> dict[str, float]:
    """Balanced accuracy by the first word of the instructions, its change in points, and 95 % of that."""
    found = {}
    for family in sorted(set(base.families)):
        low, high = interval(base, after, family)
        reached, word = accuracy(after, family), family.split()[0]
        found |= {word: reached, f"{word}_change": 100 * (reached - accuracy(base, family))}
        found |= {f"{word}_change_lo": low, f"{word}_change_hi": high}
    return found


def rights(pool: Path, bundles: Sequence[Path]) -> Rights:
    """What detectors make of a pool's episodes."""
    found = [_judged(pool, bundle) for bundle in bundles]
    families, success = np.array(found[0]["families"]), np.array(found[0]["success"])
    called = np.array([one["called"] for one in found])
    return Rights(families, success, (called == success).mean(0))


def _judged(pool: Path, bundle: Path) -> dict[str, list[str] | list[bool]]:
    path = pool.with_name("verdicts") / f"{bundle.parent.parent.name}-{bundle.parent.name}.json"
    if not path.exists():
        judge, frames = BundleJudge(Detector.load(bundle)), FramePool.open(pool)
        views = replace(views_of(frames), beginnings={})
        with looked(judge, frames, views, judge.calibration, None, f"labelled episodes, {path.stem}") as margins:
            all_of_it = judged_episodes(frames, views, judge.calibration, margins)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            "families": [one.family for one in all_of_it],
            "success": [one.success for one in all_of_it],
            "called": [one.seen.called for one in all_of_it],
        }
        write_json(path, columns)
    return read_json(path)


def accuracy(found: Rights, family: str | None = None) -> float:
    """Balanced accuracy, mean over detectors; of one kind of instruction, or of all episodes."""
    of_it = np.ones(len(found.families), bool) if family is None else found.families == family
    return float(np.mean([found.right[of_it & (found.success == side)].mean() for side in (False, True)]))


def interval(base: Rights, after: Rights, family: str) -> tuple[float, float]:
    """95 % of the change of balanced accuracy when episodes are drawn anew, paired; points."""
    rng = np.random.default_rng(0)
    change = after.right - base.right
    draws = np.zeros(DRAWS)
    for side in (False, True):
        some = change[(base.families == family) & (base.success == side)]
        draws += some[rng.integers(0, len(some), (DRAWS, len(some)))].mean(1) / 2
    low, high = np.quantile(100 * draws, (0.025, 0.975)).tolist()
    return low, high


if __name__ == "__main__":
    main(tyro.cli(Options))
