"""Where the cameras of an episode are: datasets of an HDF5 file, and video files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from robo_episodes.episode import readable
from robo_episodes.hdf5 import Hdf5Tree
from robo_episodes.hdf5_guard import Images
from robo_episodes.hdf5_nodes import join
from robo_episodes.layout import Layout
from robo_episodes.ordering import natural
from robo_episodes.scope import Scope
from robo_episodes.streams import colorless_word

FILE = "file:"
"""Begins a camera glob that names files beside the recording instead of datasets in it."""


def camera_datasets(layout: Layout, tree: Hdf5Tree, group: str) -> dict[str, tuple[str, Images]]:
    """Return path and images of datasets by camera name, without those that a `!` glob excludes, and without depth."""
    found: dict[str, tuple[str, Images]] = {}
    taken: set[str] = set()
    for pattern in _including(layout, is_file=False):
        for path in tree.glob(group, pattern):
            if path in taken or _is_excluded(layout, path) or colorless_word(path[len(group) :], [pattern]):
                continue
            images = tree.images(path)
            if images is not None:
                name = _caught(pattern, path)
                found[name if name not in found else readable(path.rsplit("/", 1)[-1])] = path, images
                taken.add(path)
    return found


def camera_files(layout: Layout, folder: Path) -> dict[str, Path]:
    """Return the video files by camera name, without those that a `!` glob excludes, and without stereo and depth."""
    found: dict[str, Path] = {}
    for pattern in _including(layout, is_file=True):
        files = (path.relative_to(folder).as_posix() for path in folder.glob(pattern))
        for name in sorted(files, key=natural):
            if not _is_excluded(layout, name) and colorless_word(name, [pattern]) is None:
                found[_caught(pattern, name)] = folder / name
    return found


def terminal_of(layout: Layout, tree: Hdf5Tree, scope: Scope, dataset: str, images: Images) -> str | None:
    """Return the dataset that holds the frame after the last action, if it is there and fits."""
    if layout.terminal is None:
        return None
    path = join(scope.base, layout.terminal.replace("{dataset}", dataset.rsplit("/", 1)[-1]))
    after = tree.images(path)
    return path if after is not None and after.length > 0 and after.shape[1:] == images.shape[1:] else None


def _including(layout: Layout, *, is_file: bool) -> Iterator[str]:
    for pattern in layout.cameras:
        if not pattern.startswith("!") and pattern.startswith(FILE) == is_file:
            yield pattern.removeprefix(FILE)


def _is_excluded(layout: Layout, path: str) -> bool:
    return any(fnmatchcase(path, other[1:]) for other in layout.cameras if other.startswith("!"))


def _caught(pattern: str, path: str) -> str:
    """Return what the `*` of the glob stand for (`obs/*_image`: the camera's own name), or the last component."""
    patterns = pattern.strip("/").split("/")
    components = path.split("/")[-len(patterns) :]
    caught = [_part(part, name) for part, name in zip(patterns, components, strict=True) if "*" in part]
    return readable("_".join(filter(None, caught)) or components[-1])


def _part(pattern: str, name: str) -> str:
    before, _, after = pattern.partition("*")
    return name if any(sign in before + after for sign in "*?[") else name[len(before) : len(name) - len(after)]
