"""Stages in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from robo_episodes.stages.stage import Shard, Stage


@dataclass(frozen=True)
class Local:
    """One worker with so many cores."""

    cores: int

    def run(self, stage: Stage, shards: Iterable[Shard]) -> Iterator[bytes]:
        """See `Executor.run`."""
        with stage.open(self.cores) as work:
            for shard in shards:
                yield work(shard.content)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
