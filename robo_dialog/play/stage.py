"""The stage of play: batches of games, which depend on nothing but their numbers and what the run was begun with."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_dialog.play.dialog import Dialog, parse
from robo_dialog.play.filters import Thresholds, judged
from robo_dialog.play.preparation import from_json, offsets_of
from robo_episodes.stages.stage import Executor, Shard, Work, address

if TYPE_CHECKING:
    from robo_dialog.play.engine import Engine
    from robo_dialog.play.judging import Known
    from robo_dialog.play.play_command import Play


@dataclass(frozen=True)
class Playing:
    """What a worker needs to play."""

    play: Play
    """With absolute paths."""
    preparation: str
    """JSON of the preparation."""
    known: Known
    """What the model has answered to the questions of the bank."""
    engine: Engine | None
    """What this process has loaded already; workers load their own."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "engine": None}

    @contextmanager
    def open(self, cores: int) -> Iterator[Work]:
        """Load the model; see `Stage.open`."""
        engine = self.engine or self._loaded(cores)
        preparation = from_json(json.loads(self.preparation), Path("preparation.json"))
        offsets = offsets_of(engine, preparation)
        ready = replace(engine, guesser=preparation.guesser, offsets=offsets, bank=preparation.bank, known=self.known)
        vocabulary = preparation.vocabulary(engine.instructions)
        gc.freeze()  # What is loaded now stays; looking through it again and again would cost percents of the time.

        def work(content: str) -> bytes:
            start, stop = json.loads(content)["games"]
            dialogs = judged(ready.play(range(start, stop)), vocabulary, Thresholds())
            return "".join(dialog.line() + "\n" for dialog in dialogs).encode()

        yield work

    def _loaded(self, cores: int) -> Engine:
        if self.play.vlm.endpoint is None:
            import torch

            torch.set_num_threads(min(cores, torch.get_num_threads()))
        return self.play.engine()[0]


def batches(executor: Executor, playing: Playing, numbers: Iterable[range]) -> Iterator[list[Dialog]]:
    """Play batches of games; yield their dialogs in the order of the numbers."""
    contents = [json.dumps({"games": [games.start, games.stop]}) for games in numbers]
    shards = [Shard(address(playing.preparation, content), content) for content in contents]
    for result in executor.run(playing, shards):
        yield [parse(line) for line in result.decode().split("\n")[:-1]]
