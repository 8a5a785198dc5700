"""Is what was learned on `target` worth anything elsewhere? Detectors of the study, judged on domains they never saw.

    python benchmarks/transfer.py [--seeds 0 1 2] [--rounds 3] [--work runs/self-improvement]

Takes the detectors that benchmarks/self_improvement.py left in its folder, with the boundaries of success that were
found on `target`, and judges them on labelled episodes of `far`, which is further from `source` than `target` is, and
on those of `source` and `target`. Nothing is learned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from improvement_arms import Arm, Lab
from record import record
from robo_dialog.improve.stages import measured
from robo_dialog.models import embedded_bundle

DOMAINS = ("source", "target", "far")


@dataclass(frozen=True)
class Options:
    """Which detectors are judged."""

    seeds: tuple[int, ...] = (0, 1, 2)
    rounds: int = 3
    """Rounds of games; what the study has not run of them is left out."""
    judged: int = 500
    """Labelled episodes of each domain."""
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its detectors."""


def main(options: Options) -> None:
    """Judge, and write the means over seeds."""
    labs = [Lab(options.work, seed, 0, options.judged, 0) for seed in options.seeds]
    rows: list[tuple[Arm, int]] = [("base", 0), ("recalibrated", 0), ("supervised", 1)]
    rows += [("cross_view", number) for number in range(1, options.rounds + 1)]
    figures: dict[str, float] = {}
    for arm, number in rows:
        found = [by_domain(lab, bundle) for lab in labs if (bundle := bundle_of(lab, arm, number)).exists()]
        for domain in DOMAINS if found else ():
            accuracies, areas = zip(*(one[domain] for one in found), strict=True)
            key = f"{arm}_r{number}_{domain}"
            figures |= {f"{key}_balanced_accuracy": float(np.mean(accuracies)), f"{key}_auroc": float(np.mean(areas))}
        if found:
            figures[f"{arm}_r{number}_seeds"] = len(found)
    Console().print(figures)
    record("transfer", figures, {})


def bundle_of(lab: Lab, arm: Arm, number: int) -> Path:
    """The detector of a run; it may not be there."""
    return embedded_bundle() if arm == "base" else lab.folder(arm, number) / "bundle"


def by_domain(lab: Lab, bundle: Path) -> dict[str, tuple[float, float]]:
    """Balanced accuracy and AUROC."""
    folder = lab.work / "transfer" / bundle.parent.parent.name / bundle.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: measured(bundle, lab.judged_pool(name), folder / f"{name}.json") for name in DOMAINS}
    return {name: (one["balanced_accuracy"], one["auroc"]) for name, one in found.items()}


if __name__ == "__main__":
    main(tyro.cli(Options))
