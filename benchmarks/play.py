"""Dialog games with `tiny` on an unlabelled pool of another lab: how fast, and what the filters are worth.

    python benchmarks/play.py [--games 2000] [--plain-games 20]

Games are played with the Describer in another view, in the same view (control), and a few of them one at a time with
every prompt by itself, as one would write it first. Truth is the simulator's, read after playing.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console

from record import record
from robo_dialog.play.dialog import Dialog, read_dialogs
from robo_dialog.play.play_command import Play
from robo_dialog.play.preparation import from_json, offsets_of
from robo_dialog.play.run_folder import read_json
from robo_dialog.play.settings import Pairing, Settings
from robo_dialog.tune.metrics import bootstrap_interval
from robo_dialog.vlm.protocol import Prompt
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.commands import Ingest
from robo_episodes.pool import FramePool
from robo_episodes.sim.command import Simulate
from truth import Truth

CAMERAS = ("front", "side")
BATCH, BATCHES = 100, 4
"""Games that are timed against the straightforward way."""
NOTES = {
    "games_per_s": "cross-view games a second, without the preparation",
    "seconds": "the whole command for all cross-view games, preparation included",
    "speedup_over_straightforward": "against one game at a time, every prompt by itself through `generate`",
    "time_outside_model": "share of the whole command's time that is not spent in the model's forward passes",
    "time_outside_model_in_turns": "the same while batches take turns with the straightforward way, undoing caches",
    "answer_accuracy_all": "Describer's answers that are true, all cross-view games",
    "answer_accuracy_kept_same_view": "the same in kept games of the control that shares one view",
    "answer_accuracy_kept_cross_view": "the same in kept cross-view games",
    "answer_accuracy_all_same_view": "the same in all games of the control",
    "kept_cross_view": "cross-view games that are kept",
    "kept_same_view": "games of the control that are kept",
    "won_cross_view": "share of cross-view games that are won; chance 0.25",
    "won_same_view": "share of games of the control that are won; chance 0.25",
    "lucky_share": "games in which the blanked dialog finds the target",
    "expected_lucky_share": "what chance alone gives",
    "questions_with_known_truth": "share of the questions that the simulator's facts decide",
}


@dataclass(frozen=True)
class Options:
    """How much is played."""

    games: int = 2000
    """Four-candidate, three-turn games across views."""
    control_games: int = 800
    """The same with one shared view."""
    plain_games: int = 20
    """Games that are also played the straightforward way."""
    episodes: int = 600
    """Simulated `target` episodes in the pool."""
    work: Path = Path("runs/benchmark-play")
    """Folder of the pool and the runs; begun anew every time, but for the episodes."""
    write: bool = True
    """Write benchmarks/results/play.json and .md."""


def main(options: Options) -> None:
    """Play, measure, write."""
    pool = make_pool(options)
    figures: dict[str, float] = {}
    truth = Truth(FramePool.open(pool))
    played: tuple[tuple[Pairing, int], ...] = (("cross_view", options.games), ("same", options.control_games))
    for pairing, games in played:
        out = options.work / pairing
        shutil.rmtree(out, ignore_errors=True)
        command = Play(pool, out, games=games, settings=settings(pairing))
        with timed_forwards() as forwards:
            started = time.perf_counter()
            command.run()
            seconds = time.perf_counter() - started
        dialogs = list(read_dialogs(out / "dialogs.jsonl"))
        figures |= accuracies(dialogs, truth, pairing)
        if pairing == "cross_view":
            figures |= speed(command, options, seconds, forwards)
            figures |= luck(dialogs)
            Console(stderr=True).print(figures)
    rounded = {key: round(float(value), 4) for key, value in figures.items()}
    Console().print(rounded)
    if options.write:
        record("play", rounded, NOTES)


def settings(pairing: Pairing) -> Settings:
    """Three turns, four candidates, front and side camera."""
    return Settings(pairing=pairing, cameras=CAMERAS)


def make_pool(options: Options) -> Path:
    """A pool of final frames of episodes that `tiny` has never seen, labels and all; play does not read them."""
    recording, pool = options.work / "target.hdf5", options.work / "pool"
    Simulate(recording, domain="target", episodes=options.episodes, seed=21, split="train", every=10**9).run()
    Ingest((recording,), out=pool, cameras=CAMERAS).run()
    return pool


def accuracies(dialogs: Sequence[Dialog], truth: Truth, pairing: Pairing) -> dict[str, float]:
    """Shares of true answers with 95 % intervals over target episodes."""
    view = {"cross_view": "cross_view", "same": "same_view"}[pairing]
    kept = [dialog for dialog in dialogs if dialog.kept]
    whole = "answer_accuracy_all" if pairing == "cross_view" else "answer_accuracy_all_same_view"
    checked = [truth.of(t.question, d.describer.episode_id) is not None for d in dialogs for t in d.turns]
    return {
        **share_of_true(dialogs, truth, whole),
        **share_of_true(kept, truth, f"answer_accuracy_kept_{view}"),
        f"kept_{view}": len(kept),
        f"won_{view}": float(np.mean([dialog.outcome == "won" for dialog in dialogs])),
        **({"questions_with_known_truth": float(np.mean(checked))} if pairing == "cross_view" else {}),
    }


def share_of_true(dialogs: Sequence[Dialog], truth: Truth, name: str) -> dict[str, float]:
    """One accuracy and its interval."""
    rows = [
        (dialog.describer.episode_id, turn.answer == known)
        for dialog in dialogs
        for turn in dialog.turns
        if (known := truth.of(turn.question, dialog.describer.episode_id)) is not None
    ]
    right = np.array([is_right for _, is_right in rows])
    low, high = bootstrap_interval(lambda picked: float(right[picked].mean()), [episode for episode, _ in rows])
    return {name: float(right.mean()), f"{name}_lo": low, f"{name}_hi": high}


def luck(dialogs: Sequence[Dialog]) -> dict[str, float]:
    """How often the blanked dialog finds the target."""
    return {
        "lucky_share": float(np.mean([dialog.blank_guess == dialog.target for dialog in dialogs])),
        "expected_lucky_share": float(np.mean([1 / len(dialog.candidates) for dialog in dialogs])),
    }


def speed(command: Play, options: Options, whole: float, forwards: Forwards) -> dict[str, float]:
    """Games a second against the straightforward way, in one sitting."""
    engine, _, _ = command.engine()
    path = command.out / "preparation.json"
    preparation = from_json(read_json(path), path)
    ready = replace(engine, guesser=preparation.guesser, offsets=offsets_of(engine, preparation))
    plain = replace(ready, vlm=OneByOne(engine.vlm))
    gc.freeze()  # as `play` does: the dialogs read so far are not looked through again
    spent = {"together": 0.0, "alone": 0.0, "inside": 0.0}
    alone = options.plain_games // BATCHES
    for batch in range(BATCHES):  # in turns, so that a busy machine slows both down
        started = time.perf_counter()
        with timed_forwards() as inside:
            ready.play(range(batch * BATCH, (batch + 1) * BATCH))
        between = time.perf_counter()
        for game in range(batch * alone, (batch + 1) * alone):
            plain.play([game])
        spent["together"] += between - started
        spent["inside"] += inside.seconds
        spent["alone"] += time.perf_counter() - between
    rate = BATCHES * BATCH / spent["together"]
    return {
        "games_per_s": rate,
        "seconds": whole,
        "speedup_over_straightforward": rate / (BATCHES * alone / spent["alone"]),
        "time_outside_model": 1 - forwards.seconds / whole,
        "time_outside_model_in_turns": 1 - spent["inside"] / spent["together"],
    }


@dataclass
class Forwards:
    """Seconds spent in forward passes of any model."""

    seconds: float = 0.0


@contextmanager
def timed_forwards() -> Iterator[Forwards]:
    """Count the time of every outermost forward pass of a transformers model."""
    from transformers import SmolVLMForConditionalGeneration

    counted, original = Forwards(), SmolVLMForConditionalGeneration.forward

    @wraps(original)
    def forward(self: torch.nn.Module, *args: object, **kwargs: object) -> object:
        started = time.perf_counter()
        try:
            return original(self, *args, **kwargs)
        finally:
            counted.seconds += time.perf_counter() - started

    SmolVLMForConditionalGeneration.forward = forward
    try:
        yield counted
    finally:
        SmolVLMForConditionalGeneration.forward = original


class OneByOne:
    """The straightforward way: every prompt whole, by itself, through `generate`."""

    def __init__(self, vlm: TransformersVLM) -> None:
        self._vlm, self.identity = vlm, vlm.identity

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
        """See `VLM.score`."""
        lead, first = self._vlm._chat.apart(options)
        rows = []
        for prompt in prompts:
            cut = self._vlm._cut(prompt)
            inputs = self._vlm._encode([cut.prefix + cut.suffix + lead], [cut.images])
            said = self._vlm._model.generate(
                **inputs, max_new_tokens=1, do_sample=False, output_scores=True, return_dict_in_generate=True
            )
            rows.append(said.scores[0][0, first].double().log_softmax(-1).numpy())
        return np.array(rows).reshape(-1, len(options))

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`."""
        return [
            self._vlm.generate([prompt], seed=seed + i, temperature=temperature, max_tokens=max_tokens)[0]
            for i, prompt in enumerate(prompts)
        ]


if __name__ == "__main__":
    main(tyro.cli(Options))
