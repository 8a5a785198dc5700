"""Folders of long work: each belongs to one command with the same values, and nobody else writes to it meanwhile."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from robo_dialog.errors import ConfigError
from robo_episodes.pool import write_json

LOCK = ".lock"


@contextmanager
def claimed(path: Path, name: str, begun_with: Mapping[str, object], free: Collection[str] = ()) -> Iterator[None]:
    """Begin a folder or go on with one.

    Args:
        path: the folder, made if it is missing.
        name: of the file in it that says what it was begun with.
        begun_with: JSON values that must be the same to go on.
        free: keys of them that may differ.

    Raises:
        ConfigError: the folder holds something else, was begun with other values, is in use or cannot be written.
    """
    if path.exists() and not (path.is_dir() and (_is_empty(path) or (path / name).exists())):
        raise ConfigError(f"{path}: is no run and not empty; choose another folder with --out")
    mine = json.loads(json.dumps(begun_with))
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another folder with --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{path}: another process is writing to this folder; wait for it to end") from error
        if (path / name).exists():
            _check_same(path / name, mine, free)
        write_json(path / name, mine)
        yield


def _is_empty(path: Path) -> bool:
    """Whether a folder holds nothing but what a process left that was killed before it began."""
    return all(one.name == LOCK or (one.name.startswith(".") and one.suffix == ".tmp") for one in path.iterdir())


def _check_same(path: Path, mine: Mapping[str, object], free: Collection[str]) -> None:
    wanted = {key: value for key, value in mine.items() if key not in free}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        there = {key: found.get(key) for key in wanted}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: is damaged ({error}); delete the folder and begin anew") from error
    if changed := ", ".join(_differences(there, wanted)):
        raise ConfigError(f"{path}: this run was begun with other values ({changed}); give the same, or another --out")


def _differences(there: object, mine: object, name: str = "") -> Iterator[str]:
    """What differs, by dotted names."""
    if isinstance(there, dict) and isinstance(mine, dict):
        for key in sorted({*there, *mine}):
            yield from _differences(there.get(key), mine.get(key), f"{name}.{key}" if name else key)
    elif there != mine:
        yield f"{name} = {there!r}, now {mine!r}"
