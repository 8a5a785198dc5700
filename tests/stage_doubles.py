"""Stages for the tests of executors, in a module that workers can import."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robo_episodes.errors import PoolError
from robo_episodes.stages.stage import Shard, Work, address


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers; the process that is given one of `deadly` ends at once, and leaves a mark that it did."""

    marks: Path
    deadly: tuple[int, ...] = ()
    always: bool = False
    """Whether a deadly number kills every time, or only the first time."""

    @contextmanager
    def open(self, cores: int) -> Iterator[Work]:
        assert cores >= 1
        closed = []
        try:
            yield lambda content: b"closed" if closed else self._double(content)
        finally:
            closed.append(True)

    def _double(self, content: str) -> bytes:
        number = json.loads(content)["number"]
        if number < 0:
            raise PoolError(f"{number}: is not doubled")
        mark = self.marks / str(number)
        if number in self.deadly and (self.always or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str(2 * number).encode()


def numbered(*numbers: int) -> list[Shard]:
    contents = [json.dumps({"number": number}) for number in numbers]
    return [Shard(address(content), content) for content in contents]
