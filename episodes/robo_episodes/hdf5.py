"""HDF5 files opened with suspicion: what cannot be trusted is refused with its reason before a byte of it is read.

An HDF5 file can name other files (external links, external storage, virtual datasets), load filter plugins, declare
terabytes in a kilobyte and link to itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robo_episodes.errors import OUT_OF_MEMORY, UnreadableError, first_line
from robo_episodes.hdf5_file import open_file
from robo_episodes.hdf5_guard import (
    MAX_SMALL_BYTES,
    Images,
    declared_bytes,
    h5py,
    is_written,
    item_bytes,
    looks_like_images,
    size_refusal,
    storage_refusal,
)
from robo_episodes.hdf5_nodes import MAX_DATASETS_OPEN, Nodes, join, sorted_names
from robo_episodes.recent import Recent

MAX_ROWS_KEPT = 8 << 20
"""Most bytes of a slice that stays at hand."""
MAX_VALUE_KEPT = 64 << 10
"""Most characters or bytes of an attribute that stays at hand."""
PLAIN = "biuf"
"""Kinds of numpy's numbers, which are read as they are."""
MAX_SEARCHED = 2000
"""Most groups and datasets looked at to say where the images of an unknown file are."""

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises on damaged content, depending on where the damage is."""

_open_trees = threading.local()


@contextmanager
def opened(path: Path) -> Iterator[Hdf5Tree]:
    """Open a file for reading and give its guarded tree; within another `opened` of the same file, that one's.

    Raises:
        UnreadableError: no HDF5, truncated, a Git-LFS pointer, or broken inside; the message names the file.
    """
    trees = cast("dict[Path, Hdf5Tree]", vars(_open_trees))
    outer = trees.get(path)
    file = None if outer else open_file(path)
    try:
        tree = trees[path] = outer or Hdf5Tree(file, path)
        yield tree
    except DAMAGE as error:
        raise _damage(path, error) from error
    finally:
        if file is not None:
            trees.pop(path, None)
            file.close()


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn `DAMAGE` into `UnreadableError`."""
    try:
        yield
    except DAMAGE as error:
        raise _damage(path, error) from error


def _damage(path: Path, error: Exception) -> UnreadableError:
    if isinstance(error, MemoryError):
        return UnreadableError(f"{path}: {OUT_OF_MEMORY}")
    return UnreadableError(f"{path}: damaged inside: {first_line(error)}; copy or record it again")


class Hdf5Tree:
    """Groups, attributes and datasets of an open file, by absolute or relative path (a `Tree` for expressions)."""

    def __init__(self, file: h5py.h5f.FileID, path: Path) -> None:
        self._path = path
        self._file = file
        self._nodes = Nodes(file, path)
        self._attributes: Recent[tuple[str, str], object | None] = Recent(1000)
        self._cameras: Recent[str, Images | None] = Recent(MAX_DATASETS_OPEN)
        self._rows: Recent[tuple[str, int, int], NDArray[Any]] = Recent(10)

    def attribute(self, base: str, group: str, name: str) -> object | None:
        """Return an attribute of a group or dataset, or None where either is missing.

        Raises:
            UnreadableError: it declares more than `MAX_SMALL_BYTES`.
        """
        path = join(base, group)
        value = self._attributes.of((path, name), lambda: self._attribute(path, name))
        nbytes = value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, str | bytes) else 0
        if nbytes > MAX_VALUE_KEPT:
            self._attributes.clear()
        return value

    def array(self, base: str, path: str) -> NDArray[Any] | None:
        """Return the content of a small dataset, or None where it is missing.

        Raises:
            UnreadableError: it declares more than `MAX_SMALL_BYTES`, or is stored outside the file.
        """
        identity = self._nodes.at(join(base, path))
        if not isinstance(identity, h5py.h5d.DatasetID):
            return None
        self._harmless(path, identity, item_bytes(identity))
        self._check_small(path, identity)
        shape, dtype = identity.shape, identity.dtype
        if shape is None or dtype.kind not in PLAIN:  # h5py's to convert
            return np.asarray(h5py.Dataset(identity)[()])
        numbers = np.empty(shape, dtype)
        identity.read(h5py.h5s.ALL, h5py.h5s.ALL, numbers)
        return numbers

    def has(self, base: str, pattern: str) -> bool:
        """Whether anything matches the path with wildcards."""
        return bool(self.glob(base, pattern))

    def images(self, path: str) -> Images | None:
        """Return the images that an absolute path holds along its first axis, checked but not read, or None.

        Raises:
            UnreadableError: they are too large, stored outside the file, or filtered by a plugin.
        """
        return self._cameras.of(path, lambda: self._checked(path))

    def rows(self, path: str, start: int, stop: int) -> NDArray[Any]:
        """Read rows `start` up to `stop` of a camera in one slice; what was read last is at hand, unless it is large.

        Raises:
            UnreadableError: they are gone, or were never written.
        """
        rows = self._rows.of((path, start, stop), lambda: self._read(path, start, stop))
        if rows.nbytes > MAX_ROWS_KEPT:
            self._rows.clear()
        return rows

    def _read(self, path: str, start: int, stop: int) -> NDArray[Any]:
        found = self.images(path)
        if found is None or not 0 <= start < stop <= found.shape[0]:
            raise UnreadableError(f"{self._path}#{path}: frame {stop - 1} is gone; the file changed while it was read")
        if not is_written(found.identity, found.plan, found.shape, range(start, stop)):
            raise UnreadableError(f"{self._path}#{path}: frame {stop - 1} was never written; the recording broke off")
        return found.read(start, stop)

    def glob(self, base: str, pattern: str) -> list[str]:
        """Return the absolute paths that match, wildcards within components, in natural order (demo_2, demo_10)."""
        found = [join(base, "")]
        for part in pattern.strip("/").split("/"):
            if part:
                found = [join(path, name) for path in found for name in self._matching(path, part)]
        return found

    def find_images(self) -> list[str]:
        """Return paths of up to four datasets that are image arrays, wherever they are; for messages only."""
        found: list[str] = []
        waiting = ["/"]
        seen: set[int] = set()
        while waiting and len(found) < 4 and len(seen) < MAX_SEARCHED:
            path = waiting.pop()
            node = h5py.h5o.open(self._file, path.encode())
            address = h5py.h5o.get_info(node).addr
            if address in seen:  # a group may contain itself
                continue
            seen.add(address)
            if isinstance(node, h5py.h5d.DatasetID) and node.rank == 4 and node.dtype == np.uint8:
                found.append(path)
            elif isinstance(node, h5py.h5g.GroupID):
                names = (name.encode() for name in sorted_names(node))
                hard = [name.decode() for name in names if node.links.get_info(name).type == h5py.h5l.TYPE_HARD]
                waiting += [join(path, name) for name in hard][::-1]
        return found

    def _matching(self, path: str, part: str) -> list[str]:
        if not any(sign in part for sign in "*?["):
            return [part] if self._nodes.has(path, part) else []
        return [name for name in self._nodes.names(path) if fnmatchcase(name, part)]

    def _attribute(self, path: str, name: str) -> object | None:
        node = self._nodes.at(path)
        if node is None or not h5py.h5a.exists(node, name.encode()):
            return None
        identity = h5py.h5a.open(node, name.encode())
        self._check_small(f"{path}@{name}", identity)
        shape, dtype = identity.shape, identity.dtype
        text = h5py.check_string_dtype(dtype) if shape == () else None
        if shape is not None and (dtype.kind in PLAIN or (text is not None and text.length is None)):
            content = np.empty(shape, dtype)
            identity.read(content)
            value = content[()]
            return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        owner = h5py.Group(node) if isinstance(node, h5py.h5g.GroupID) else h5py.Dataset(node)
        return cast("object", owner.attrs[name])

    def _checked(self, path: str) -> Images | None:
        identity = self._nodes.at(path)
        if not isinstance(identity, h5py.h5d.DatasetID):
            return None
        kind = identity.get_type()
        plan, shape, dtype = self._harmless(path, identity, kind.get_size()), identity.shape, kind.dtype
        if shape is None or not looks_like_images(dtype, len(shape)):
            return None
        if (reason := size_refusal(shape, dtype.itemsize)) is not None:
            raise self._refusal(path, reason)
        return Images(identity, plan, shape, dtype)

    def _harmless(self, path: str, identity: h5py.h5d.DatasetID, item: int) -> h5py.h5p.PropDCID:
        plan = identity.get_create_plist()
        if (reason := storage_refusal(plan, item)) is not None:
            raise self._refusal(path, reason)
        return plan

    def _check_small(self, path: str, identity: h5py.h5d.DatasetID | h5py.h5a.AttrID) -> None:
        nbytes = declared_bytes(identity)
        if nbytes > MAX_SMALL_BYTES:
            raise self._refusal(path, f"declares {nbytes} bytes; the limit for values is {MAX_SMALL_BYTES}")

    def _refusal(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self._path}: refused: `{path}` {reason}")
