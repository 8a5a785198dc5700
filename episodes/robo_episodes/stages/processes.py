"""Stages in processes of this machine, each with its share of the cores."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from robo_episodes.errors import RoboDialogError
from robo_episodes.stages.local import cores
from robo_episodes.stages.stage import Shard, Stage, Work

MAX_DEATHS = 3
"""Workers that may die one after the other without a single result between them."""
_AHEAD = 2
"""Shards a worker that are begun or wait, so that none is idle while results are written."""


@dataclass(frozen=True)
class Processes:
    """So many workers; those that die are replaced, and the shards that were on their way begun anew."""

    workers: int

    def run(self, stage: Stage, shards: Iterable[Shard]) -> Iterator[bytes]:
        """See `Executor.run`."""
        source, begun, deaths = iter(shards), deque[Shard](), 0
        while True:
            try:
                for result in self._in_order(stage, begun, source):
                    deaths = 0
                    yield result
                return
            except BrokenProcessPool as error:
                deaths += 1
                if deaths == MAX_DEATHS:
                    raise RoboDialogError(
                        f"{deaths} workers died one after the other; memory may have run out: give fewer --workers, "
                        "then run the same command again"
                    ) from error

    def _in_order(self, stage: Stage, begun: deque[Shard], source: Iterator[Shard]) -> Iterator[bytes]:
        """Yield results until a worker dies; `begun` then holds the shards that have none."""
        share = max(1, cores() // self.workers)
        with ProcessPoolExecutor(self.workers, get_context("spawn"), _begin, (stage, share)) as pool:
            results = deque(pool.submit(_work, shard.content) for shard in begun)
            while True:
                while len(begun) < _AHEAD * self.workers and (shard := next(source, None)) is not None:
                    begun.append(shard)
                    results.append(pool.submit(_work, shard.content))
                if not begun:
                    return
                result = results.popleft().result()
                begun.popleft()
                yield result


_kept = ExitStack()
"""In a worker: holds what its stage has opened, which would be closed when nobody holds it."""
_open: Callable[[], Work]
"""In a worker: gives that."""


def _begin(stage: Stage, share: int) -> None:
    """Make a new process a worker; what it opens ends with it."""
    global _open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then ends its workers
    threading.Thread(target=_die_with_the_program, daemon=True).start()
    _open = cache(
        lambda: _kept.enter_context(stage.open(share))
    )  # at the first shard, so that errors reach the program


def _work(content: str) -> bytes:
    return _open()(content)


def _die_with_the_program() -> None:
    program = parent_process()
    if program is not None:
        wait([program.sentinel])
        os._exit(1)
