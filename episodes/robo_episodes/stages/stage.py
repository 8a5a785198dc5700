"""A stage: a pure function of a shard, so that it does not matter where, when and how often a shard is worked on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Work: TypeAlias = Callable[[str], bytes]
"""The content of a shard to its result; the same bytes every time."""


@dataclass(frozen=True)
class Shard:
    """A piece of work that knows nothing of the others."""

    key: str
    """32 hex digits of all that the result depends on; see `address`."""
    content: str
    """What to do, as JSON."""


class Stage(Protocol):
    """What is done with each shard. It travels to the workers, so that it holds nothing but plain values."""

    def open(self, cores: int) -> AbstractContextManager[Work]:
        """Load what all shards need, for a worker with this many processor cores."""
        ...


class Executor(Protocol):
    """Where a stage is run."""

    def run(self, stage: Stage, shards: Iterable[Shard]) -> Iterator[bytes]:
        """Yield the results in the order of the shards; a worker that dies costs time and no result.

        Raises:
            RoboDialogError: what the stage raises, or workers die again and again.
        """
        ...


def address(*parts: str) -> str:
    """Return the key for what a result depends on, in words."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]
