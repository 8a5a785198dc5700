"""The groups and datasets of an open HDF5 file by their paths; links are followed one by one.

Hard links are followed, and soft links that stay inside the file and lead somewhere. The calls are h5py's low-level
ones, which cost a third of the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from robo_episodes.errors import UnreadableError
from robo_episodes.hdf5_guard import h5py
from robo_episodes.ordering import natural
from robo_episodes.recent import Recent

MAX_SOFT_LINKS = 16
MAX_GROUPS_OPEN = 1000
MAX_DATASETS_OPEN = 32
"""Fewer, as each holds the chunk that was read last."""

Node: TypeAlias = Any
"""h5py's GroupID or DatasetID; it has no types."""


class Nodes:
    """What was opened stays at hand, so that each link is looked at once."""

    def __init__(self, file: h5py.h5f.FileID, path: Path) -> None:
        self._file = file
        self._path = path
        self._groups: Recent[str, Node] = Recent(MAX_GROUPS_OPEN)
        self._others: Recent[str, Node | None] = Recent(MAX_DATASETS_OPEN)
        self._names: Recent[str, list[str]] = Recent(100)

    def at(self, path: str) -> Node | None:
        """Return what is at an absolute path, or None.

        Raises:
            UnreadableError: the way leads out of the file, or round in a circle.
        """
        if path in self._groups:
            return self._groups[path]
        if path in self._others:
            return self._others[path]
        node = self._opened(path)
        if isinstance(node, h5py.h5g.GroupID):
            return self._groups.of(path, lambda: node)
        return self._others.of(path, lambda: node)

    def names(self, path: str) -> list[str]:
        """Return the names in a group in natural order; none where there is no group."""
        group = self.at(path)
        return self._names.of(path, lambda: sorted_names(group)) if isinstance(group, h5py.h5g.GroupID) else []

    def has(self, path: str, name: str) -> bool:
        """Whether a group has a link of this name, wherever it leads."""
        group = self.at(path)
        return isinstance(group, h5py.h5g.GroupID) and bool(group.links.exists(name.encode()))

    def _opened(self, path: str) -> Node | None:
        above, names = self._nearest(path)
        at = b""
        for name in names:
            before, at = at, at + b"/" + name if at else name
            link = _link(above, at, before or b".")
            if link is None:
                return None
            if link != h5py.h5l.TYPE_HARD:
                resolved = self._resolved(path)
                return None if resolved is None else h5py.h5o.open(self._file, resolved)
        return h5py.h5o.open(above, at or b".")

    def _nearest(self, path: str) -> tuple[Node, list[bytes]]:
        """Return the nearest group above that is open, or the file, and the names that lead from there."""
        names: list[bytes] = []
        while path and path not in self._groups:
            path, _, name = path.rpartition("/")
            if name not in ("", "."):
                names.insert(0, name.encode())
        return self._groups[path] if path else self._file, names

    def _resolved(self, path: str) -> bytes | None:
        """Return the path to the same place by hard links alone, or None where there is nothing."""
        at, parts, followed = b"", path.encode().split(b"/"), 0
        while parts:
            name = parts.pop(0)
            if name in (b"", b"."):
                continue
            above, at = at, at + b"/" + name
            link = _link(self._file, at, above or b"/")
            if link is None:
                return None
            if link == h5py.h5l.TYPE_SOFT:
                followed += 1
                if followed > MAX_SOFT_LINKS:
                    raise self._refusal(path, "is a soft link that leads back to itself")
                target = self._file.links.get_val(at)
                at, parts = b"" if target.startswith(b"/") else above, target.split(b"/") + parts
            elif link != h5py.h5l.TYPE_HARD:
                raise self._refusal(path, f"is an external link to {self._file.links.get_val(at)[0].decode()}")
        return at or b"/"

    def _refusal(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self._path}: refused: `{path}` {reason}")


def _link(above: Node, at: bytes, before: bytes) -> int | None:
    """Return the kind of the link at the end of a path; None: there is none.

    Args:
        above: the open group or file where the path begins.
        at: the path, of which all other links are hard.
        before: the path without its last part.
    """
    try:
        if not above.links.exists(at):
            return None
    except (KeyError, RuntimeError, ValueError):
        if h5py.h5o.get_info(above, before).type == h5py.h5o.TYPE_GROUP:
            raise
        return None  # nothing is in a dataset
    kind: int = above.links.get_info(at).type
    return kind


def sorted_names(group: h5py.h5g.GroupID) -> list[str]:
    """Return the names of a group's links in natural order, without those that are no UTF-8."""
    names = []
    for name in group:
        try:
            names.append(name.decode())
        except UnicodeDecodeError:
            continue  # no layout can mean it
    return sorted(names, key=natural)


def join(base: str, path: str) -> str:
    """Join group paths; `.` is the base itself and an absolute path stands alone."""
    if path.startswith("/"):
        return path
    return base if path in (".", "") else f"{base.rstrip('/')}/{path}"
