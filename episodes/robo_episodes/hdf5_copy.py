"""Verdicts as attributes of the episodes in a copy of an HDF5 recording; the recording itself is only read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from robo_episodes.errors import UnreadableError, first_line
from robo_episodes.hdf5_file import open_file
from robo_episodes.hdf5_guard import h5py
from robo_episodes.pool import sync_folder
from robo_episodes.verdicts import VerdictRow

PREFIX = "robo_dialog_"
"""Begins the names of the attributes: `outcome`, `probability`, `judged_by`, `instruction`."""


def write_copy(recording: Path, copy: Path, rows: Sequence[VerdictRow]) -> int:
    """Write a copy with attributes, whole or not at all, replacing an earlier one.

    Args:
        recording: the HDF5 file.
        copy: the file to write.
        rows: verdicts of one judge on the ends of its episodes.

    Returns:
        The number of episodes with a verdict.

    Raises:
        UnreadableError: the recording is broken, or has no such episode.
        OSError: the disk is full or not writable.
    """
    open_file(recording).close()
    if copy.exists() and copy.samefile(recording):
        raise UnreadableError(f"{copy}: is the recording itself, which is never changed; give another folder")
    copy.parent.mkdir(parents=True, exist_ok=True)
    draft = copy.with_name(f".{copy.name}.tmp")
    try:
        shutil.copyfile(recording, draft)
        with h5py.File(draft, "r+") as file:
            for row in rows:
                _write(file, recording, row)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(copy)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(copy.parent)
    return len(rows)


def _write(file: h5py.File, recording: Path, row: VerdictRow) -> None:
    group = _group(file, recording, row.source.rpartition("#")[2] if "#" in row.source else "/")
    values = {
        "outcome": row.outcome,
        "probability": row.probability,
        "judged_by": row.judged_by,
        "instruction": row.instruction,
    }
    for name, value in values.items():
        if value is not None:
            group.attrs[f"{PREFIX}{name}"] = value


def _group(file: h5py.File, recording: Path, path: str) -> h5py.Group:
    """Return an episode's group, by links within the file only: others lead to files that are not copied."""
    found: h5py.Group = file
    for name in filter(None, path.split("/")):
        try:
            inside = isinstance(found.get(name, getlink=True), h5py.HardLink)
            found = found[name] if inside else None
        except (KeyError, RuntimeError, OSError) as error:
            raise UnreadableError(f"{recording}#{path}: cannot be found in the copy ({first_line(error)})") from error
        if not isinstance(found, h5py.Group):
            raise UnreadableError(f"{recording}#{path}: is no group of this file; write sidecars instead")
    return found
