"""`robo-dialog play`: dialog games over a frame pool."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.play.settings import GuesserKind, Settings
from robo_dialog.vlm.choice import ModelChoice
from robo_episodes.stages.choice import ExecutorChoice

if TYPE_CHECKING:
    from robo_dialog.play.dialog import Dialog
    from robo_dialog.play.engine import Engine
    from robo_dialog.play.judging import Known
    from robo_dialog.play.moments import Moment
    from robo_dialog.play.preparation import Preparation
    from robo_dialog.play.proposals import Bank
    from robo_dialog.play.run_folder import RunFolder
    from robo_episodes.stages.stage import Executor

DEAD = 10
"""So many games, all aborted together, are the model's fault and not theirs; they are not written down."""


@dataclass(frozen=True)
class Play:
    """Let a model play dialog games with itself over the final frames of a pool. Reads no labels.

    Interrupted at any moment, the same command goes on; the same seed gives the same dialogs, byte for byte. At the end
    the filters judge every dialog; `robo-dialog filter` judges them again, and `robo-dialog report` shows them.
    """

    pool: Path
    """Frame pool, made by `robo-dialog ingest`."""
    out: Path
    """Folder of the run."""
    games: int = 1000
    """Games to play; more may be asked for later."""
    seed: int = 0
    """Seed of everything that is drawn."""
    batch: int = 100
    """Games that are played together and written together."""
    round: int = 0
    """Number that is written into the dialogs."""
    vlm: Annotated[ModelChoice, tyro.conf.arg(name="")] = field(default_factory=ModelChoice)
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    executor: Annotated[ExecutorChoice, tyro.conf.arg(name="")] = field(default_factory=ExecutorChoice)
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of tables."""

    def run(self) -> int:
        """Prepare, play what is missing, summarise."""
        if self.games < 1 or self.batch < 1 or self.seed < 0:
            raise ConfigError(
                f"--games {self.games} and --batch {self.batch} must be at least 1, --seed {self.seed} at least 0"
            )
        from robo_dialog.play.run_folder import SUMMARY, opened
        from robo_episodes.pool import write_json

        executor = self.executor.open()
        engine, moments, begun_with = self.engine()
        with opened(self.out, begun_with, self.batch) as folder:
            preparation = self._prepared(engine, moments)
            started, before = time.monotonic(), folder.played(self.games)
            self._play(executor, engine, moments, preparation, folder, before)
            seconds = time.monotonic() - started
            summary = self._summarise(moments)
            rate = round((self.games - before) / seconds, 3) if self.games > before else None
            found = {**summary, "guesser": preparation.guesser, "games_per_s": rate}
            write_json(self.out / SUMMARY, {key: value for key, value in found.items() if key != "games_per_s"})
        self._print(found)
        return 0

    def engine(self) -> tuple[Engine, list[Moment], dict[str, Any]]:
        """The engine without offsets, the moments, and what run.json is to hold.

        Raises:
            PoolError: the pool cannot be played with.
            ModelError: the model cannot be loaded.
        """
        from robo_dialog.play.engine import Engine
        from robo_dialog.play.frames import FrameStore, embedded
        from robo_dialog.play.judging import Offsets
        from robo_dialog.play.moments import digest, read_moments
        from robo_dialog.play.sampling import Dealer
        from robo_dialog.play.words import lexicon
        from robo_episodes.pool import FramePool

        pool = FramePool.open(self.pool)
        moments = read_moments(pool, self.settings.cameras)
        vlm, store = self.vlm.open(), FrameStore(pool)
        instructions = tuple(dict.fromkeys(moment.instruction for moment in moments))
        mix, rules = self.settings.mix, self.settings.rules
        embeddings = embedded(vlm, store, moments) if mix.nearest > 0 else {}
        dealer = Dealer(moments, self.settings.pairing, mix, rules.candidates, self.seed, embeddings)
        offsets = Offsets(lexicon(instructions))
        kind: GuesserKind = "prompt" if self.settings.guesser == "prompt" else "likelihood"
        engine = Engine(vlm, dealer, self.settings, store.images, instructions, offsets, kind, self.round)
        begun_with = {
            "games": self.games,
            "pool": str(self.pool.resolve()),
            "pool_digest": digest(pool),
            "model": vlm.identity,
            "seed": self.seed,
            "round": self.round,
            "batch": self.batch,
            "settings": asdict(self.settings),
        }
        return engine, moments, begun_with

    def _prepared(self, engine: Engine, moments: Sequence[Moment]) -> Preparation:
        from rich.console import Console

        from robo_dialog.play.preparation import from_json, prepare
        from robo_dialog.play.run_folder import PREPARATION, read_json
        from robo_episodes.pool import write_json

        path = self.out / PREPARATION
        if path.exists():
            return from_json(read_json(path), path)
        with Console(stderr=True).status("trial games, captions and thresholds of the pool") as status:

            def answered(bank: Bank) -> Known:
                status.stop()  # there is a bar
                known = self._known(engine, moments, bank)
                status.start()
                return known

            preparation = prepare(engine, moments, answered)
        write_json(path, preparation.as_json())
        return preparation

    def _known(self, engine: Engine, moments: Sequence[Moment], bank: Bank) -> Known:
        from robo_dialog.play.bank import answered
        from robo_dialog.play.progress import counted
        from robo_dialog.play.run_folder import ANSWERS

        if not bank:
            return {}
        with counted("answering the questions of the bank", sum(moment.final for moment in moments)) as on_step:
            return answered(engine, moments, bank, self.out / ANSWERS, on_step)

    def _play(
        self,
        executor: Executor,
        engine: Engine,
        moments: Sequence[Moment],
        preparation: Preparation,
        folder: RunFolder,
        first: int,
    ) -> None:
        from robo_dialog.play.progress import Bar
        from robo_dialog.play.stage import Playing, batches

        known = self._known(engine, moments, preparation.bank)
        model = Path(self.vlm.model)
        vlm = replace(self.vlm, model=str(model.resolve())) if model.is_dir() else self.vlm
        travelling = replace(self, pool=self.pool.resolve(), vlm=vlm)
        playing = Playing(travelling, jsonlib.dumps(preparation.as_json()), known, engine)
        numbers = [range(start, min(start + self.batch, self.games)) for start in range(first, self.games, self.batch)]
        with Bar(self.games, first) as bar:
            for dialogs in batches(executor, playing, numbers):
                if len(dialogs) >= DEAD and all(dialog.outcome == "aborted" for dialog in dialogs):
                    raise ModelError(_dead(dialogs[0]))
                folder.append(dialogs)
                bar.show(dialogs)

    def _summarise(self, moments: Sequence[Moment]) -> dict[str, Any]:
        from robo_dialog.play.dialog import read_dialogs
        from robo_dialog.play.run_folder import DIALOGS
        from robo_dialog.play.summary import summarise

        dialogs = list(read_dialogs(self.out / DIALOGS))
        outcomes = {moment.episode_id for moment in moments if moment.final}
        return summarise(dialogs, outcomes).as_json()

    def _print(self, found: dict[str, Any]) -> None:
        from robo_dialog.play.progress import print_summary

        if self.json:
            print(jsonlib.dumps(found))
        else:
            print_summary(found)
            print(f"dialogs: {self.out}; look at them with: robo-dialog report {self.out}", file=sys.stderr)


def _dead(dialog: Dialog) -> str:
    return (
        f"{dialog.model}: all games from number {dialog.game_id} on were aborted, the first because: "
        f"{dialog.abort_reason}; mend that and run the same command again"
    )
