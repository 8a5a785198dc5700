"""Stages on a Ray cluster, by Ray Data; nothing else imports Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import ray
from ray.data import DataContext
from ray.exceptions import RayError

from robo_episodes.errors import ConfigError, RoboDialogError, first_line
from robo_episodes.stages.stage import Shard, Stage


@dataclass(frozen=True)
class RayData:
    """Workers of one core each on the nodes of a cluster, which all see the recordings under the same paths."""

    workers: int
    address: str | None = None
    """As `ray.init` takes it: `auto`, `host:6379`, `ray://host:10001`; None: a cluster of this machine alone."""

    def run(self, stage: Stage, shards: Iterable[Shard]) -> Iterator[bytes]:
        """See `Executor.run`; Ray starts actors that died anew, however often, and gives them their shards again.

        Raises:
            ConfigError: there is no such cluster.
        """
        self._connect()
        rows = [{"content": shard.content} for shard in shards]
        if not rows:
            return
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker, fn_constructor_args=(stage,), batch_size=1, concurrency=self.workers, num_cpus=1
        )
        try:
            for row in done.iter_rows():
                if row["error"]:
                    raise RoboDialogError(row["error"])
                yield row["result"]
        except RayError as error:
            raise RoboDialogError(
                f"the Ray cluster lost a shard for good ({first_line(error)}); look at the cluster, then run the same "
                "command again: it goes on where it stopped"
            ) from error

    def _connect(self) -> None:
        if not ray.is_initialized():
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError as error:
                raise ConfigError(
                    f"--ray-address {self.address}: no cluster there ({first_line(error)}); start one with: ray start"
                ) from error
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is raised, too
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False


class _Worker:
    """One actor; errors are told as values, for an exception would come back as one of Ray's own."""

    def __init__(self, stage: Stage) -> None:
        self._opened = stage.open(cores=1)
        self._work = self._opened.__enter__()  # ends with the actor

    def __call__(self, batch: dict[str, Sequence[str]]) -> dict[str, list[bytes] | list[str]]:
        try:
            return {"result": [self._work(str(content)) for content in batch["content"]], "error": [""]}
        except RoboDialogError as error:
            return {"result": [b""], "error": [str(error)]}
