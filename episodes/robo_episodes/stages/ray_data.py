"""Stages on a Ray cluster, by Ray Data; nothing else imports Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ray
from ray.data import DataContext

from robo_episodes.stages.stage import Shard, Stage


@dataclass(frozen=True)
class RayData:
    """Workers of one core each on the nodes of a cluster, which all see the recordings under the same paths."""

    workers: int
    address: str | None = None
    """As `ray.init` takes it: `auto`, `host:6379`, `ray://host:10001`; None: a cluster of this machine alone."""

    def run(self, stage: Stage, shards: Iterable[Shard]) -> Iterator[bytes]:
        """See `Executor.run`; Ray starts workers that died anew and gives them their shards again."""
        if not ray.is_initialized():
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"content": shard.content} for shard in shards]
        if rows:
            given = ray.data.from_items(rows, override_num_blocks=len(rows))
            done = given.map_batches(
                _Worker, fn_constructor_args=(stage,), batch_size=1, concurrency=self.workers, num_cpus=1
            )
            yield from (row["result"] for row in done.iter_rows())


class _Worker:
    """One actor."""

    def __init__(self, stage: Stage) -> None:
        self._work = stage.open(cores=1).__enter__()  # ends with the actor

    def __call__(self, batch: dict[str, list[str]]) -> dict[str, list[bytes]]:
        return {"result": [self._work(str(content)) for content in batch["content"]]}
