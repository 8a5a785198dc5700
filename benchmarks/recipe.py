"""What of the recipe matters? The first round of cross-view games with one thing changed at a time.

    python benchmarks/recipe.py [--seeds 0 1] [--variants recipe nearest ...] [--no-tune]

Runs of benchmarks/self_improvement.py of the same seed come first: its pool, and what the model answered in its first
round, are used here again. Every run adds a line to results/recipe.jsonl, how many answers are learned and which share
is right by the simulator's truth, and with tuning the detector's figures. The truth is read after the games, by
figures alone.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from improvement_arms import Lab, judged_worth
from record import origin, record
from robo_dialog.detect.manifest import Lineage
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.improve.stages import Round, detector_of, is_held_out, play_round, tune_on
from robo_dialog.play.dialog import Dialog, read_dialogs
from robo_dialog.play.filters import uninformative
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import digest
from robo_dialog.play.rows import describer_rows, settled
from robo_dialog.play.rules import Rules
from robo_dialog.play.run_folder import ANSWERS, DIALOGS, PREPARATION, RUN, read_json
from robo_dialog.play.settings import Mix, Pairing, Settings
from robo_dialog.tune.examples import Example, examples_of
from robo_episodes.commands import Ingest
from robo_episodes.pool import FramePool, write_json
from self_improvement import runs

RUNS = Path(__file__).parent / "results" / "recipe.jsonl"
NOTES = {
    "kept": "games kept, of as many as a round has",
    "answers": "answers that are learned, each once",
    "right": "share of them that is right by the simulator's truth",
    "balanced_accuracy": "on labelled `target` episodes, after tuning; left out where nothing was tuned",
    "points": "balanced accuracy beside the whole recipe's, same seed and same machine, mean over seeds",
    "least": "the same of the seed that fares worst, `most` of the one that fares best",
}


@dataclass(frozen=True)
class Variant:
    """One change."""

    rules: Rules = field(default_factory=Rules)
    mix: Mix = field(default_factory=Mix)
    pairing: Pairing = "all_views"
    ignored: tuple[str, ...] = ()
    """Filters left out."""
    spread: float = 0.0
    """Least spread of the answers to every question of a game, beyond the filter's own."""
    earlier: bool = False
    """The pool holds first frames, too, which may be distractors."""
    tune: Mapping[str, float] = field(default_factory=dict)
    """Settings of tuning that are not those of the recipe."""


VARIANTS: Mapping[str, Variant] = {
    "recipe": Variant(),
    "without_lost": Variant(ignored=("lost",)),
    "without_uninformative": Variant(ignored=("uninformative",)),
    "spread_0.4": Variant(spread=0.4),
    "spread_0.6": Variant(spread=0.6),
    "spread_0.8": Variant(spread=0.8),
    "one_other_view": Variant(pairing="cross_view"),
    "one_other_view_without_inconsistent": Variant(pairing="cross_view", ignored=("inconsistent",)),
    "candidates_2": Variant(rules=Rules(candidates=2)),
    "candidates_8": Variant(rules=Rules(candidates=8)),
    "turns_1": Variant(rules=Rules(turns=1)),
    "turns_8": Variant(rules=Rules(turns=8)),
    "turns_1_candidates_8": Variant(rules=Rules(turns=1, candidates=8)),
    "nearest": Variant(mix=Mix(same_task=0, nearest=1)),
    "random": Variant(mix=Mix(same_task=0, random=1)),
    "half_nearest": Variant(mix=Mix(same_task=1, nearest=1)),
    "same_episode": Variant(mix=Mix(same_task=0, same_episode=1), earlier=True),
    "steps_60": Variant(tune={"steps": 60}),
    "steps_60_batch_16": Variant(tune={"steps": 60, "batch": 16}),
    "steps_480": Variant(tune={"steps": 480}),
    "rate_1e-3": Variant(tune={"rate": 1e-3}),
    "rank_8": Variant(tune={"rank": 8, "alpha": 16}),
    "anchors_none": Variant(tune={"anchor_share": 0.0}),
    "anchors_half": Variant(tune={"anchor_share": 0.5}),
}
"""`lucky` and `position_biased` never apply to a Guesser that weighs answers, nor do `duplicate_question` and
`degenerate` to questions of a bank, which holds none such."""


@dataclass(frozen=True)
class Options:
    """What is run, as far as it has not been."""

    seeds: tuple[int, ...] = (0,)
    variants: tuple[str, ...] = tuple(VARIANTS)
    tune: bool = True
    """Tune on what is kept and judge the detector; otherwise only the answers are counted."""
    episodes: int = 2100
    judged: int = 500
    games: int = 60_000
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its pools and games."""


def main(options: Options) -> None:
    """Run what is missing, then write the table."""
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, options.judged, options.games)
        for name in options.variants:
            if not any((one["variant"], one["seed"]) == (name, seed) and _enough(one, options) for one in runs(RUNS)):
                _one(lab, name, tune=options.tune)
    write_report()


def _enough(run: Mapping[str, Any], options: Options) -> bool:
    return "balanced_accuracy" in run or not options.tune


def _one(lab: Lab, name: str, *, tune: bool) -> None:
    Console(stderr=True).rule(f"{name}, seed {lab.seed}")
    started, folder = time.monotonic(), lab.work / f"recipe-{name}-{lab.seed}"
    dialogs = list(played(lab, VARIANTS[name], folder))
    kept = [one for one in dialogs if keeps(VARIANTS[name], one)]
    found = worth_of(lab, kept)
    if tune:
        if not (folder / "model").exists():
            tune_on(lessons(lab, kept), "tiny", folder / "model", lab.anchors, settings_of(lab, VARIANTS[name]))
        model = str(folder / "model")
        bundle = detector_of(model, lab.pool, folder / "bundle", Lineage("tiny"), lab.settings.held_out)
        figures = lab.figures(bundle, model, folder)
        found |= {"balanced_accuracy": figures["target_balanced_accuracy"], "auroc": figures["target_auroc"]}
        found |= {"state_accuracy": figures["state_accuracy"], "source": figures["source_balanced_accuracy"]}
    about = {"seconds": round(time.monotonic() - started), **origin()}
    with RUNS.open("a") as file:
        file.write(json.dumps({"variant": name, "seed": lab.seed, **found, **about}) + "\n")


def settings_of(lab: Lab, variant: Variant) -> RoundSettings:
    """The recipe's, but for what the variant tunes otherwise."""
    return replace(lab.settings, tune=replace(lab.settings.tune, **variant.tune))


def worth_of(lab: Lab, kept: Sequence[Dialog]) -> dict[str, Any]:
    """How many games are kept, how many answers that makes, and which share of them is right."""
    answers = {(episode, question): answer for (episode, _, question), answer in settled(kept).items()}
    worth = judged_worth(lab, answers.items())
    return {"kept": len(kept), "answers": worth["answers"], "right": worth["answers_right"]}


def lessons(lab: Lab, kept: Sequence[Dialog]) -> list[Example]:
    """What the kept games teach the Describer."""
    image_of = lru_cache(maxsize=16)(FrameStore(FramePool.open(lab.pool)).image)
    return examples_of(describer_rows([replace(one, kept=True) for one in kept], image_of))


def played(lab: Lab, variant: Variant, folder: Path) -> Iterator[Dialog]:
    """Dialogs about outcomes that may be learned from; games by the study's own rules are the study's."""
    theirs = lab.folder("cross_view", 1) / "games"
    play = replace(lab.settings.play, rules=variant.rules, mix=variant.mix, pairing=variant.pairing)
    games = theirs
    if play != lab.settings.play:
        games, pool = folder / "games", _with_first_frames(lab) if variant.earlier else lab.pool
        if not games.exists():
            _begun(theirs, games, play, pool)
        play_round(Round(folder, 1, "tiny", Path(), "tiny"), pool, replace(lab.settings, play=play))
    held_out = lab.settings.held_out
    return (one for one in read_dialogs(games / DIALOGS) if not is_held_out(one.describer.episode_id, held_out))


def _with_first_frames(lab: Lab) -> Path:
    """The pool once more, from the same recording."""
    recording, pool = lab.pool.parent / f"{lab.domain}.hdf5", lab.pool.with_name("pool-with-first-frames")
    Ingest((recording,), out=pool, first=True).run()
    return pool


def _begun(theirs: Path, games: Path, play: Settings, pool: Path) -> None:
    """A run by other rules that knows already what the model thought of and answered in theirs."""
    part = games.with_name("games.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    there = {"pool": str(pool), "pool_digest": digest(FramePool.open(pool)), "settings": asdict(play)}
    write_json(part / RUN, {**read_json(theirs / RUN), **there})
    for name in (PREPARATION, ANSWERS):
        shutil.copyfile(theirs / name, part / name)
    part.replace(games)


def keeps(variant: Variant, dialog: Dialog) -> bool:
    """Whether the variant learns from a dialog."""
    wanted = set(dialog.reasons) <= set(variant.ignored) and bool(dialog.turns)
    return wanted and not (variant.spread and uninformative(dialog, variant.spread))


def write_report() -> None:
    """Write results/recipe.json and .md: means over the seeds that were tuned, or else over those that were not."""
    figures: dict[str, float] = {}
    for name in VARIANTS:
        same = [one for one in runs(RUNS) if one["variant"] == name]
        tuned = [one for one in same if "balanced_accuracy" in one] or same
        for key in ("kept", "answers", "right", "balanced_accuracy", "auroc", "state_accuracy", "source"):
            if tuned and key in tuned[0]:
                figures[f"{name}_{key}"] = round(float(np.mean([one[key] for one in tuned])), 4)
        if tuned:
            figures[f"{name}_seeds"] = len(tuned)
        if points := list(_points(tuned)):
            parts = {"points": np.mean(points), "least": min(points), "most": max(points)}
            figures |= {f"{name}_{key}": round(float(value), 2) for key, value in parts.items()}
    record("recipe", figures, NOTES)


def _points(tuned: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Balanced accuracy minus that of the recipe, wherever that was run on the same pool."""
    key = "balanced_accuracy"
    whole = {(one["seed"], one["machine"]): one[key] for one in runs(RUNS) if one["variant"] == "recipe" and key in one}
    for one in tuned:
        beside = whole.get((one["seed"], one["machine"]))
        if one["variant"] != "recipe" and key in one and beside is not None:
            yield 100 * (one[key] - beside)


if __name__ == "__main__":
    main(tyro.cli(Options))
