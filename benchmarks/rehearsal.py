"""Which game teaches most? Variants of recipe.py in a lab that nothing else is judged in, so that one may be chosen.

    python benchmarks/rehearsal.py [--seeds 0 1] [--variants recipe turns_1 ...]

What wins on `target` may have won by chance, and a recipe chosen there would have been chosen by its labels. Here a
round of each variant is played, tuned, averaged and judged in `rehearsal`: another table, plate and cabinet, warm light
instead of cold. Every run adds a line to results/rehearsal.jsonl.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from improvement_arms import Lab, base_of
from nightly_world import DUSK
from recipe import VARIANTS, keeps, lessons, played, settings_of, worth_of
from record import RESULTS, origin, record
from robo_dialog.detect.manifest import Lineage
from robo_dialog.improve.stages import Round, detector_of, play_round, settle, tune_on
from robo_episodes.sim.domains import DOMAINS, Surface
from self_improvement import runs

RUNS = RESULTS / "rehearsal.jsonl"
REHEARSAL = replace(
    DUSK,
    name="rehearsal",
    tables=(
        Surface("tiles", (0.02, 0.14), (0.12, 0.30), (0.55, 0.90)),
        Surface("blotches", (0.80, 0.95), (0.12, 0.30), (0.55, 0.88)),
    ),
    plates=(Surface("plain", (0.05, 0.2), (0.12, 0.30), (0.75, 1.0)),),
    cabinets=(Surface("plain", (0.0, 0.1), (0.20, 0.45), (0.25, 0.60)),),
)
DOMAINS[REHEARSAL.name] = REHEARSAL
NAMES = ("target_balanced_accuracy", "target_auroc", "state_accuracy", "source_balanced_accuracy")
UNTRAINED = ("base", "recalibrated")
NOTES = {
    "kept": "games kept, of as many as a round has",
    "answers": "answers that are learned, each once",
    "right": "share of them that is right by the simulator's truth",
    "balanced_accuracy": "on labelled episodes of `rehearsal`, after one round",
    "auroc": "of the same",
    "state_accuracy": "yes/no questions about the state of scenes of `rehearsal`",
    "source_balanced_accuracy": "on labelled episodes of `source`",
    "points": "balanced accuracy beside the whole recipe's on the same pools, mean over seeds",
    "least": "the same of the seed that fares worst, `most` of the one that fares best",
}


@dataclass(frozen=True)
class Options:
    """What is run, as far as it has not been."""

    seeds: tuple[int, ...] = (0,)
    variants: tuple[str, ...] = (*UNTRAINED, "recipe", "turns_1", "candidates_8", "turns_1_candidates_8")
    episodes: int = 2100
    judged: int = 500
    games: int = 60_000
    work: Path = Path("runs/rehearsal")


def main(options: Options) -> None:
    """Run what is missing, then write the table."""
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, options.judged, options.games, domain=REHEARSAL.name)
        for name in options.variants:
            if not any((one["variant"], one["seed"]) == (name, seed) for one in runs(RUNS)):
                _one(lab, name)
    write_report()


def _one(lab: Lab, name: str) -> None:
    Console(stderr=True).rule(f"{name}, seed {lab.seed}")
    started = time.monotonic()
    found = base_of(lab, name) if name in UNTRAINED else _round(lab, name)  # type: ignore[arg-type]
    found = {
        key.removeprefix("target_"): value
        for key, value in found.items()
        if key in (*NAMES, "kept", "answers", "right")
    }
    about = {"seconds": round(time.monotonic() - started), **origin()}
    with RUNS.open("a") as file:
        file.write(json.dumps({"variant": name, "seed": lab.seed, **found, **about}) + "\n")


def _round(lab: Lab, name: str) -> dict[str, Any]:
    this = Round(lab.work / f"{name}-{lab.seed}", 1, "tiny", Path(), "tiny")
    play_round(replace(this, folder=lab.folder("cross_view", 1)), lab.pool, lab.settings)
    kept = [one for one in played(lab, VARIANTS[name], this.folder) if keeps(VARIANTS[name], one)]
    if not (this.folder / "tuned").exists():
        tune_on(lessons(lab, kept), "tiny", this.folder / "tuned", lab.anchors, settings_of(lab, VARIANTS[name]))
    model = str(settle(this, lab.settings))
    bundle = detector_of(model, lab.pool, this.folder / "bundle", Lineage("tiny"), lab.settings.held_out)
    return {**worth_of(lab, kept), **lab.figures(bundle, model, this.folder)}


def write_report() -> None:
    """Write results/rehearsal.json and .md: means over seeds."""
    figures: dict[str, float] = {}
    whole = {one["seed"]: one["balanced_accuracy"] for one in runs(RUNS) if one["variant"] == "recipe"}
    for name in dict.fromkeys(one["variant"] for one in runs(RUNS)):
        same = [one for one in runs(RUNS) if one["variant"] == name]
        for key in (one for one in same[0] if isinstance(same[0][one], float) or one in ("kept", "answers")):
            figures[f"{name}_{key}"] = round(float(np.mean([one[key] for one in same])), 4)
        figures[f"{name}_seeds"] = len(same)
        points = [100 * (one["balanced_accuracy"] - whole[one["seed"]]) for one in same if one["seed"] in whole]
        if points and name not in ("recipe", *UNTRAINED):
            parts = {"points": np.mean(points), "least": min(points), "most": max(points)}
            figures |= {f"{name}_{key}": round(float(value), 2) for key, value in parts.items()}
    names = {one["variant"] for one in runs(RUNS)}
    record("rehearsal", figures, {f"{name}_{key}": note for name in names for key, note in NOTES.items()})


if __name__ == "__main__":
    main(tyro.cli(Options))
