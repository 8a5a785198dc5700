"""Which executor a command is to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robo_episodes.errors import ConfigError
from robo_episodes.stages.local import Local, cores
from robo_episodes.stages.stage import Executor


@dataclass(frozen=True)
class ExecutorChoice:
    """Where the work is done; what comes out does not depend on it."""

    executor: Literal["local", "process", "ray"] = "local"
    """`local`: in this process. `process`: in several of this machine. `ray`: on a Ray cluster."""
    workers: int = 0
    """Processes, actors of Ray, or, locally, cores that are used; 0: one a processor core of this machine."""
    ray_address: str | None = None
    """Address of the Ray cluster, for example auto or ray://host:10001; default: one of this machine alone."""

    def open(self) -> Executor:
        """Return the executor.

        Raises:
            ConfigError: a value is out of range, or Ray is not installed.
        """
        if self.workers < 0:
            raise ConfigError(f"--workers {self.workers}: give a number of processes, or 0 for one a processor core")
        workers = self.workers or cores()
        if self.executor == "local":
            return Local(workers)
        if self.executor == "process":
            from robo_episodes.stages.processes import Processes

            return Processes(workers)
        try:
            from robo_episodes.stages.ray_data import RayData
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--executor ray needs `{error.name}`; install it with: pip install 'robo-dialog[ray]'"
            ) from error
        return RayData(workers, self.ray_address)
