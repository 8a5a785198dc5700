"""Which rounds of the study would be served? The gate of `improve` on the detectors that the study left.

    python benchmarks/gates.py [--seeds 0 1 2 3 4] [--rounds 3] [--work runs/self-improvement]

A round stands against the last one that was let pass, in the beginning against the recalibrated base, on games about
episodes that nothing was learned from; the first that is refused ends a run. The gate reads no label. Its decisions lie
in the study's folders; how good the detectors are that come through is taken from results/self_improvement.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from improvement_arms import Lab
from record import RESULTS, record
from robo_dialog.improve.stages import Round, gate
from robo_dialog.tune.gate_limits import Limits
from self_improvement import runs

ANCHORS = 300
"""Images on which it is seen whether the gate's candidate still knows what it was taught."""
NOTES = {
    "served_balanced_accuracy": "of the detector that came through last, mean over seeds",
    "worst_seed_change": "that detector beside the base as shipped, the seed that fares worst, points",
    "worst_family_change": "the same of the kind of instruction that fares worst, mean over seeds",
}


@dataclass(frozen=True)
class Options:
    """Which rounds stand before the gate."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rounds: int = 3
    episodes: int = 2100
    games: int = 60_000
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its detectors."""


def main(options: Options) -> None:
    """Decide, and write what came through."""
    figures: dict[str, float] = {}
    passed: dict[int, list[bool]] = {}
    served = []
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, 0, options.games)
        last = ("recalibrated", 0)
        for number, decision in enumerate(decisions(lab, options.rounds), start=1):
            Console().print(f"seed {seed}, round {number}: {decision['reason']}")
            passed.setdefault(number, []).append(decision["promoted"])
            last = ("cross_view", number) if decision["promoted"] else last
        served.append(run_of(*last, seed))
    base = run_of("base", 0, options.seeds[0])
    for number, some in passed.items():
        figures |= {f"r{number}_decided": len(some), f"r{number}_promoted": sum(some)}
    accuracy = np.array([one["target_balanced_accuracy"] for one in served])
    figures["served_balanced_accuracy"] = float(accuracy.mean())
    figures["worst_seed_change"] = 100 * float(accuracy.min() - base["target_balanced_accuracy"])
    families = base["target_by_family"].items()
    changes = [np.mean([one["target_by_family"][name] for one in served]) - before for name, before in families]
    figures["worst_family_change"] = 100 * float(min(changes))
    record("gates", figures, NOTES)


def decisions(lab: Lab, rounds: int) -> Iterator[dict[str, Any]]:
    """What the gate says to one round after another, up to the first that it refuses."""
    champion = lab.folder("recalibrated", 0) / "bundle"
    for number in range(1, rounds + 1):
        folder = lab.folder("cross_view", number)
        this = Round(folder, number, lab.model_before("cross_view", number), champion, lab.start)
        decision = gate(this, folder / "bundle", lab.pool, lab.anchors[:ANCHORS], lab.settings, Limits())
        yield decision
        if not decision["promoted"]:
            return
        champion = folder / "bundle"


def run_of(arm: str, number: int, seed: int) -> dict[str, Any]:
    """A line of the study."""
    wanted = {"arm": arm, "round": number, "seed": seed}
    return next(one for one in runs(RESULTS / "self_improvement.jsonl") if wanted.items() <= one.items())


if __name__ == "__main__":
    main(tyro.cli(Options))
