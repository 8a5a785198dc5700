"""One night's folder: what is done lies there, whole; what is missing is still to be done.

night.json         number, beginning, champion of then, model that is tuned
done/<stage>.json  what a finished stage says of itself; written last, in one rename
logs/<stage>.log   what its command said, of all tries
new/, pool/, held_out/   frame pools: tonight's episodes; those that are learned from; those that judge
report.json        the end; a night that has it is closed
report.html        the same for people
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from robo_dialog.errors import NightlyError
from robo_episodes.pool import write_json

NIGHT, REPORT = "night.json", "report.json"
NIGHTS = "nights"
Facts = Mapping[str, Any]
"""What a stage says of itself; plain values."""


@dataclass(frozen=True)
class Night:
    """A night that was begun."""

    path: Path
    number: int
    """1, 2, ..."""
    begun: datetime
    champion: str | None
    """Version that was served when it began."""
    model: str
    """Checkpoint that plays and is tuned."""

    def done(self, stage: str) -> Facts | None:
        """What a stage said, None if it has not come to its end."""
        path = self._file(stage)
        return read_json(path) if path.exists() else None

    def finish(self, stage: str, facts: Facts) -> None:
        """Write that a stage has come to its end; on the disk when this returns."""
        self._file(stage).parent.mkdir(exist_ok=True)
        write_json(self._file(stage), facts)

    def once(self, stage: str, work: Callable[[], Facts]) -> Facts:
        """What a stage says; done now if it has not been."""
        found = self.done(stage)
        if found is None:
            found = work()
            self.finish(stage, found)
        return found

    def count_failure(self) -> int:
        """Note that a stage failed; returns how often that has happened."""
        path = self.path / "failures.json"
        failures = int(read_json(path)["failures"]) + 1 if path.exists() else 1
        write_json(path, {"failures": failures})
        return failures

    @property
    def report(self) -> Facts | None:
        """How it ended, None if it has not."""
        path = self.path / REPORT
        return read_json(path) if path.exists() else None

    def close(self, report: Facts) -> None:
        """Write how it ended; on the disk when this returns."""
        write_json(self.path / REPORT, report)

    def log(self, stage: str) -> Path:
        """Where a stage's command writes what it has to say."""
        path = self.path / "logs" / f"{stage}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def _file(self, stage: str) -> Path:
        return self.path / "done" / f"{stage}.json"


def nights(work: Path) -> list[Night]:
    """All nights that were begun, in order."""
    folders = sorted((work / NIGHTS).glob("[0-9]*")) if (work / NIGHTS).is_dir() else []
    return [_read(path) for path in folders if (path / NIGHT).exists()]


def begin(work: Path, number: int, begun: datetime, champion: str | None, model: str) -> Night:
    """Make the folder of a new night.

    Raises:
        NightlyError: the disk is full or not writable.
    """
    path = work / NIGHTS / f"{number:04d}"
    facts = {"number": number, "begun": begun.isoformat(), "champion": champion, "model": model}
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / NIGHT, facts)
    except OSError as error:
        raise NightlyError(f"{path}: cannot be made ({error.strerror}); free some space or check its owner") from error
    return _read(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a night.

    Raises:
        NightlyError: it is missing or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NightlyError(f"{path}: cannot be read ({error}); delete the file, and its stage is done again") from error
    if not isinstance(found, dict):
        raise NightlyError(f"{path}: holds no JSON object; delete the file, and its stage is done again")
    return found


def _read(path: Path) -> Night:
    found = read_json(path / NIGHT)
    try:
        begun = datetime.fromisoformat(found["begun"])
        return Night(path, int(found["number"]), begun, found["champion"], str(found["model"]))
    except (KeyError, TypeError, ValueError) as error:
        raise NightlyError(f"{path / NIGHT}: is damaged ({error!r}); delete the folder, and begin anew") from error
