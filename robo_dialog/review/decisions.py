"""What people decided, in a verdict file that grows by a line a decision; each is on the disk before the next is taken.

The last line of a person on an episode counts. A line that a crash cut short is dropped.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from robo_dialog.errors import RoboDialogError
from robo_dialog.relabel.rows import LabelRow
from robo_episodes.verdicts import Outcome, VerdictRow, read_verdicts

REVIEWS = "reviews.jsonl"
Decision: TypeAlias = Literal["yes", "no", "unsure", "none"]
"""`none`: what was decided before is taken back."""

OUTCOMES: Mapping[Decision, Outcome] = {"yes": "SUCCESS", "no": "FAILURE", "unsure": "UNCERTAIN", "none": "UNCERTAIN"}
_TAKEN_BACK = "taken back"


class Decisions:
    """The file, open for one person; safe in threads."""

    def __init__(self, path: Path, person: str) -> None:
        """Open the file, and cut off what a crash left of a line.

        Raises:
            RoboDialogError: it cannot be written.
            UnreadableError: it holds something else.
        """
        self._path, self._person = path, person
        self._lock = threading.Lock()
        try:
            with path.open("a+b") as file:
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        except OSError as error:
            raise RoboDialogError(f"{path}: cannot be written ({error.strerror}); name another file") from error
        self._latest = {row.episode_id: row for row in read_verdicts(path) if row.judged_by == self.judge}

    @property
    def judge(self) -> str:
        """The person's name in verdict files."""
        return f"person:{self._person}"

    def of(self, episode_id: str) -> Decision:
        """What the person has decided."""
        row = self._latest.get(episode_id)
        if row is None or row.note == _TAKEN_BACK:
            return "none"
        return next(decision for decision, outcome in OUTCOMES.items() if outcome == row.outcome)

    def decided(self) -> set[str]:
        """Ids of the episodes that the person has decided on."""
        return {episode_id for episode_id in self._latest if self.of(episode_id) != "none"}

    def add(self, row: LabelRow, decision: Decision) -> None:
        """Write a decision; on the disk when this returns.

        Raises:
            OSError: the disk is full or not writable; the decision does not count.
        """
        said = replace(
            row.verdict(),
            outcome=OUTCOMES[decision],
            probability=None,
            judged_by=self.judge,
            note=_TAKEN_BACK if decision == "none" else None,
        )
        line = {**asdict(said), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        with self._lock:
            with self._path.open("ab") as file:
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._latest[row.episode_id] = said


def successes(rows: Iterable[VerdictRow]) -> dict[str, bool]:
    """What people say of episodes, by id: the last word of any person who was sure counts, and nothing that a detector
    says."""
    latest = {row.key: row for row in rows if row.judged_by.startswith("person") and row.step is None}
    return {row.episode_id: row.outcome == "SUCCESS" for row in latest.values() if row.outcome != "UNCERTAIN"}
