"""Which files and folders below a path may be recordings; nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from robo_episodes.errors import RecordingError
from robo_episodes.ordering import natural

Place = tuple[Path, str]
"""A file or folder, and its path below the folder that was named, with that folder: `/rollouts/success/3.mp4`."""

_PARENTS = 6
"""How far above a path a data set is looked for that it is a part of."""


def find(
    path: Path, is_whole: Callable[[Path], bool], standing_for_folders: Sequence[Callable[[Path], bool]]
) -> Iterator[Place]:
    """Yield files, and folders that are one recording, in natural order.

    Args:
        path: a file or a folder.
        is_whole: whether a folder is one recording, so that nothing in it is looked at by itself.
        standing_for_folders: for each kind of file of which the first one in a folder stands for all, whether a file is
            of this kind.

    Raises:
        RecordingError: the path is one of many such files.
    """
    for parent in (path, *list(path.parents)[:_PARENTS]):  # a part of a data set says nothing without the rest
        if is_whole(parent):
            yield parent, f"/{parent.name}"
            return
    if path.is_file():
        if any(stands(path) for stands in standing_for_folders):
            raise RecordingError(f"{path}: is one frame of many; name its folder, {path.parent}")
        yield path, f"/{path.parent.name}/{path.name}"
        return
    for here, names in _folders(path, is_whole):
        place = f"/{here.relative_to(path.parent).as_posix()}"
        if names is None:
            yield here, place
            continue
        for name in _representatives(here, names, standing_for_folders):
            yield here / name, f"{place}/{name}"


def _folders(path: Path, is_whole: Callable[[Path], bool]) -> Iterator[tuple[Path, list[str] | None]]:
    """Yield folders with the names of their files, or None where a folder is one recording; links back are left out."""
    visited = set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        here = Path(folder)
        if here.resolve() in visited:
            subfolders.clear()
            continue
        visited.add(here.resolve())
        if is_whole(here):
            subfolders.clear()
            yield here, None
            continue
        subfolders[:] = sorted((name for name in subfolders if not name.startswith(".")), key=natural)
        yield here, sorted((name for name in names if not name.startswith(".")), key=natural)


def _representatives(here: Path, names: Sequence[str], kinds: Sequence[Callable[[Path], bool]]) -> Iterator[str]:
    """Yield all names but those that another one stands for."""
    seen = set()
    for name in names:
        kind = next((index for index, stands in enumerate(kinds) if stands(here / name)), None)
        if kind is None or kind not in seen:
            yield name
        seen.add(kind)
