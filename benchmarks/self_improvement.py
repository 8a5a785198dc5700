"""Does self-improvement help? Rounds of it on unlabelled `target` episodes, beside controls, judged on labelled ones.

    python benchmarks/self_improvement.py [--seeds 0 1 2 3 4] [--arms cross_view ...] [--rounds 3] [--minutes 60]

Every run (arm, seed, round) adds a line to results/self_improvement.jsonl as it ends; what stands there is not run
again, so that the study grows over many sittings. Another model than `tiny` is studied in the same way with `--base`,
in files of its own. Labels of `target` are read by the final measure and by the arm
`supervised`, which is the upper bound, and by nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from improvement_arms import ARMS, Arm, Lab, arm_round, base_of
from improvement_report import write_report
from record import RESULTS, origin

MINUTES_OF_A_ROUND = 9.0
"""A round is not begun with less time left; what it has done by then is kept all the same."""


@dataclass(frozen=True)
class Options:
    """What is run, as far as it has not been."""

    seeds: tuple[int, ...] = (0,)
    """Each with a pool, games and tuning of its own."""
    arms: tuple[Arm, ...] = ARMS
    rounds: int = 3
    episodes: int = 2100
    """Unlabelled `target` episodes in the pool of a seed."""
    judged: int = 500
    """Labelled episodes of each domain that the final measure is taken on; the same for every run."""
    games: int = 60_000
    """Games of a round."""
    work: Path = Path("runs/self-improvement")
    """Folder of pools and checkpoints; may be deleted when the study is done."""
    base: Path | None = None
    """Improve what `robo-dialog pretrain --out BASE` wrote, in place of the embedded model, on the same pools; lines
    go to results/self_improvement_<name of the folder>.jsonl."""
    minutes: float = 1e9
    """Begin no run after so many minutes."""

    @property
    def path(self) -> Path:
        """Of the lines."""
        return RESULTS / (f"self_improvement_{self.base.name}.jsonl" if self.base else "self_improvement.jsonl")


def main(options: Options) -> None:
    """Run what is missing, then write the table."""
    until = time.monotonic() + 60 * (options.minutes - MINUTES_OF_A_ROUND)
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, options.judged, options.games, options.base)
        missing(lab, "base", 0, options.path)
        for number in range(options.rounds + 1):
            for arm in options.arms:
                if number >= (0 if arm == "recalibrated" else 1) and time.monotonic() < until:
                    missing(lab, arm, number, options.path)
    write_report(options.path)


def missing(lab: Lab, arm: Arm, number: int, path: Path) -> None:
    """Run one arm's round, if it has not been run and there is such a round."""
    key = {"arm": arm, "seed": lab.seed, "round": number}
    if any(key.items() <= one.items() for one in runs(path)) or (number and arm in ("base", "recalibrated")):
        return
    Console(stderr=True).rule(str(key))
    started = time.monotonic()
    found = base_of(lab, arm) if number == 0 else arm_round(lab, arm, number)
    about = {"seconds": round(time.monotonic() - started), **origin()}
    sizes = {"episodes": lab.episodes, "judged": lab.judged, "games": lab.games}
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({**key, **found, **sizes, **about}) + "\n")


def runs(path: Path) -> Sequence[dict[str, Any]]:
    """All runs so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main(tyro.cli(Options))
