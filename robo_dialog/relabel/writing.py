"""Rows back to the recordings, one recording at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

from robo_dialog.relabel.rows import LabelRow
from robo_episodes.annotate import Annotated, write_hdf5, write_lerobot, write_sidecars
from robo_episodes.errors import RecordingError
from robo_episodes.layout import Layout
from robo_episodes.verdicts import VerdictRow

Target: TypeAlias = Literal["sidecar", "lerobot", "hdf5"]


def write_back(
    rows: Iterable[LabelRow], target: Target, layouts: Sequence[Layout], out: Path | None, copies: Path
) -> Annotated:
    """Write the verdicts in one way; recordings that cannot take them are told.

    Args:
        rows: those of a recording one after the other.
        target: what is written.
        layouts: with which the episodes were read.
        out: folder below which is written, instead of beside the recordings.
        copies: folder of HDF5 copies, where `out` is not given.
    """
    ways: Mapping[Target, Callable[[list[VerdictRow]], Annotated]] = {
        "sidecar": lambda some: write_sidecars(some, "jsonl", out),
        "lerobot": lambda some: write_lerobot(some, layouts, out=out),
        "hdf5": lambda some: write_hdf5(some, out or copies),
    }
    done = Annotated()
    for _, group in groupby(rows, key=_recording):
        try:
            written = ways[target]([row.verdict() for row in group])
        except RecordingError as error:
            done.problems.append(str(error))
        else:
            done.written |= written.written
            done.problems += written.problems
    return done


def _recording(row: LabelRow) -> str:
    """Rows with the same text are of one recording, and rows of one recording have the same."""
    return row.source.rpartition("#")[0] or row.source
