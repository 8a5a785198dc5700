"""The folder of labels.

run.json          what it was begun with: bundle and options
parts/            one Parquet file a shard, named by all that its rows depend on; what is here is not judged again
labels.parquet    all rows of `rows.SCHEMA`, in the order of the recordings
labels.jsonl      the same
problems.jsonl    what could not be judged, and why
summary.json      counts
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from robo_dialog.detect.durable import replace_file, sync_folder
from robo_dialog.errors import RoboDialogError
from robo_dialog.relabel.rows import SCHEMA, LabelRow, as_json, problems, row_of, tables
from robo_dialog.relabel.summary import Summary
from robo_episodes.episode import EpisodeWarning
from robo_episodes.pool import write_json
from robo_episodes.stages.stage import Shard

RUN, LABELS, LINES, PROBLEMS, SUMMARY = "run.json", "labels.parquet", "labels.jsonl", "problems.jsonl", "summary.json"
_ROW_GROUP = 4096
_RECORDS = 512
"""Rows that are Python's objects at once."""


@dataclass(frozen=True)
class LabelsFolder:
    """One folder, claimed by this process."""

    path: Path

    def part(self, shard: Shard) -> Path:
        """Where the rows of a shard are."""
        return self.path / "parts" / f"{shard.key}.parquet"

    def keep(self, shard: Shard, result: bytes) -> None:
        """Write the rows of a shard, whole or not at all.

        Raises:
            RoboDialogError: the disk is full or not writable.
        """
        part = self.part(shard)
        with writing(part):
            part.parent.mkdir(exist_ok=True)
            replace_file(part, result)

    def parts(self) -> list[Path]:
        """All parts, in no order."""
        return sorted((self.path / "parts").glob("*.parquet"))

    def rows_of(self, file: Path) -> Iterator[LabelRow]:
        """The rows of a part, or of labels.parquet."""
        for table in tables(file):
            yield from map(row_of, _records(table))

    def gather(self, shards: Sequence[Shard], unread: Sequence[EpisodeWarning], summary: Summary) -> None:
        """Join the parts of these shards, in their order, and forget all others.

        Args:
            shards: all have parts.
            unread: files that no reader opens.
            summary: counts every row and problem.

        Raises:
            RoboDialogError: the disk is full or not writable; the parts stay.
        """
        with ExitStack() as files:
            table_file, lines, told = (files.enter_context(_whole(self.path / n)) for n in (LABELS, LINES, PROBLEMS))
            writer = files.enter_context(pq.ParquetWriter(table_file, SCHEMA, compression="zstd"))
            for problem in self._problems(shards, unread):
                summary.add_problem(problem)
                told.write(json.dumps(as_json(problem), ensure_ascii=False).encode() + b"\n")
            for table in _in_groups(table for shard in shards for table in tables(self.part(shard))):
                writer.write_table(table)
                for record in _records(table):
                    lines.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                    summary.add(row_of(record))
        with writing(self.path / SUMMARY):
            write_json(self.path / SUMMARY, summary.as_json())
        present = {self.part(shard).name for shard in shards}
        for part in self.parts():
            if part.name not in present:
                part.unlink()

    def _problems(self, shards: Sequence[Shard], unread: Sequence[EpisodeWarning]) -> Iterator[EpisodeWarning]:
        yield from unread
        for shard in shards:
            yield from problems(self.part(shard))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what to do where a file cannot be written.

    Raises:
        RoboDialogError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise RoboDialogError(
            f"{path}: cannot be written ({error.strerror or error}); mend that, and run the same command again: "
            "it goes on where it stopped"
        ) from error


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there whole at the end of the block, or as it was before."""
    draft = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_RECORDS):
        yield from batch.to_pylist()


def _in_groups(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables, so that the file has few row groups."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= _ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
