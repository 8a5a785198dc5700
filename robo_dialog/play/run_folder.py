"""The folder of a run: what it was begun with, what was prepared, and the dialogs so far.

run.json           settings, seed, round, pool and model; a run is only continued with the same
preparation.json   see `preparation`
answers.jsonl      answers to the bank's questions about all outcomes, if there is a bank
dialogs.jsonl      one dialog a line, in the order of their numbers, appended batch by batch
summary.json       written when all games are played
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_dialog.claims import claimed
from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import Dialog
from robo_dialog.play.moments import digest
from robo_episodes.pool import FramePool

SCHEMA_VERSION = 1
RUN, PREPARATION, DIALOGS, SUMMARY = "run.json", "preparation.json", "dialogs.jsonl", "summary.json"
ANSWERS = "answers.jsonl"
_FREE = frozenset({"games", "pool"})
"""Keys of run.json that may differ when a run goes on: more games, and the same pool at another place."""


@dataclass(frozen=True)
class RunFolder:
    """One folder, open for playing."""

    path: Path
    batch: int
    """Games that are played, and written, together."""

    def played(self, games: int) -> int:
        """Games that are safely on disk, of `games` that are wanted; a batch that was cut short is removed."""
        file = self.path / DIALOGS
        if not file.exists():
            return 0
        ends = [0]
        with file.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
        lines_found = len(ends) - 1
        whole = lines_found if lines_found == games else lines_found // self.batch * self.batch
        if file.stat().st_size > ends[whole]:
            os.truncate(file, ends[whole])
        return whole

    def append(self, dialogs: Sequence[Dialog]) -> None:
        """Add one batch to the file and to the disk."""
        with (self.path / DIALOGS).open("a", encoding="utf-8") as file:
            file.write("".join(dialog.line() + "\n" for dialog in dialogs))
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def opened(path: Path, begun_with: Mapping[str, Any], batch: int) -> Iterator[RunFolder]:
    """Begin a run or go on with one; nobody else can write to it meanwhile.

    Raises:
        ConfigError: the folder holds something else, belongs to another run, or is in use.
    """
    with claimed(path, RUN, {"schema_version": SCHEMA_VERSION, **begun_with}, _FREE):
        yield RunFolder(path, batch)


def pool_of(run: Path, moved: Path | None, option: str) -> FramePool:
    """The pool that a run was played over.

    Args:
        run: folder of the run.
        moved: where the pool is now; None: where it was.
        option: of the command line that tells it.

    Raises:
        ConfigError: the folder is no run, or the pool another one.
        PoolError: no pool is there.
    """
    begun = read_json(run / RUN)
    pool = FramePool.open(moved or Path(begun["pool"]))
    if digest(pool) != begun["pool_digest"]:
        raise ConfigError(f"{pool.path}: is not the pool of this run, or was changed since; name it with {option}")
    return pool


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run.

    Raises:
        ConfigError: it is missing or damaged.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: is missing; `{path.parent}` is no run of `robo-dialog play`") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is damaged ({error}); delete the folder and play again") from error
    return values
