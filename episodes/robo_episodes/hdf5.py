"""HDF5 files opened with suspicion: what cannot be trusted is refused with its reason before a byte of it is read.

An HDF5 file can name other files (external links, external storage, virtual datasets), load filter plugins, declare
terabytes in a kilobyte and link to itself. Camera recordings need none of this.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_episodes.errors import UnreadableError
from robo_episodes.images import MAX_PIXELS

# Read once when the HDF5 library starts: `::` keeps it from loading filter plugins named by a file.
os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")
import h5py

MAX_FRAMES = 5_000_000
"""Most frames of one camera in one episode: two days at 30 frames a second."""
MAX_DATASET_BYTES = 256 << 30
"""Most bytes that one camera of one episode may declare."""
MAX_FRAME_BYTES = 256 << 20
"""Most bytes of one frame as it is stored."""
MAX_CHUNK_BYTES = 1 << 30
"""Most bytes that reading one frame may have to decompress."""
MAX_SMALL_BYTES = 64 << 20
"""Most bytes of a dataset that is no camera (rewards, instructions)."""
MAX_SOFT_LINKS = 16
MAX_SEARCHED = 2000
"""Most groups and datasets looked at to say where the images of an unknown file are."""
ALLOWED_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}

_LFS = b"version https://git-lfs"


@contextmanager
def opened(path: Path) -> Iterator[Hdf5Tree]:
    """Open a file for reading and give its guarded tree.

    Raises:
        UnreadableError: no HDF5, truncated, a Git-LFS pointer, or broken inside; the message names the file.
    """
    with _open(path) as file, damage_reported(path):
        yield Hdf5Tree(file, path)


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn what h5py raises on damaged content, which depends on where the damage is, into `UnreadableError`."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableError(f"{path}: damaged inside: {reason}; copy or record it again") from error


def _open(path: Path) -> h5py.File:
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS))
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror})") from error
    if head == _LFS:
        raise UnreadableError(f"{path}: is a Git-LFS pointer, not the recording; fetch it with: git lfs pull")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        text = str(error)
        if "lock" in text:  # network file systems without locks; reading needs none
            try:
                return h5py.File(path, "r", locking=False)
            except OSError as second:
                text = str(second)
        raise UnreadableError(f"{path}: {_reason(text)}") from error


def _reason(text: str) -> str:
    sizes = re.search(r"eof = (\d+).*?stored_eof = (\d+)", text)
    if "truncated" in text:
        size = f" ({sizes[1]} of {sizes[2]} bytes)" if sizes else ""
        return f"is truncated{size}; copy it again"
    if "signature not found" in text:
        return "is no HDF5 file (signature not found); check the download"
    if "already open for write" in text or "consistency flags" in text:
        return "is open for writing or was not closed; finish the recording, or run: h5clear -s FILE"
    return f"cannot be opened as HDF5: {text.splitlines()[0]}"


class Hdf5Tree:
    """Groups, attributes and datasets of an open file, by absolute or relative path (a `Tree` for expressions).

    Links are followed one by one: hard links, and soft links that stay inside the file.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self._path = path

    def attribute(self, base: str, group: str, name: str) -> object | None:
        """Return an attribute of a group or dataset, or None where either is missing."""
        node = self._node(join(base, group))
        if node is None or name not in node.attrs:
            return None
        value: object = node.attrs[name]
        return value

    def array(self, base: str, path: str) -> NDArray[Any] | None:
        """Return the content of a small dataset, or None where it is missing.

        Raises:
            UnreadableError: it declares more than `MAX_SMALL_BYTES`, or is stored outside the file.
        """
        dataset = self._dataset(join(base, path))
        if dataset is None:
            return None
        if _declared_bytes(dataset) > MAX_SMALL_BYTES:
            raise self._refusal(
                path, f"declares {_declared_bytes(dataset)} bytes; the limit for values is {MAX_SMALL_BYTES}"
            )
        return np.asarray(dataset[()])

    def has(self, base: str, pattern: str) -> bool:
        """Whether anything matches the path with wildcards."""
        return bool(self.glob(base, pattern))

    def frames(self, base: str, path: str) -> h5py.Dataset | None:
        """Return a dataset that holds images along its first axis, checked but not read, or None where it is missing.

        Raises:
            UnreadableError: it is too large, stored outside the file, or filtered by a plugin.
        """
        dataset = self._dataset(join(base, path))
        if dataset is None or not looks_like_images(dataset):
            return None
        count, nbytes = len(dataset), _declared_bytes(dataset)
        pixels = math.prod(dataset.shape[1:]) // 3 if dataset.ndim == 4 else 0
        if count > MAX_FRAMES:
            raise self._refusal(path, f"declares {count} frames; the limit is {MAX_FRAMES}")
        if pixels > MAX_PIXELS:
            raise self._refusal(path, f"declares frames of {pixels} pixels; the limit is {MAX_PIXELS}")
        if nbytes > MAX_DATASET_BYTES:
            raise self._refusal(path, f"declares {nbytes} bytes; the limit is {MAX_DATASET_BYTES}")
        if nbytes > MAX_FRAME_BYTES * count:
            raise self._refusal(path, f"declares {nbytes // count} bytes a frame; the limit is {MAX_FRAME_BYTES}")
        return dataset

    def glob(self, base: str, pattern: str) -> list[str]:
        """Return the absolute paths that match, wildcards within components, in natural order (demo_2, demo_10)."""
        found = [join(base, "")]
        for part in pattern.strip("/").split("/"):
            if not part:
                continue
            found = [join(path, name) for path in found for name in self._names(path, part)]
        return found

    def find_images(self) -> list[str]:
        """Return paths of up to four datasets that are image arrays, wherever they are; for messages only."""
        found: list[str] = []
        waiting = ["/"]
        seen: set[int | None] = set()
        while waiting and len(found) < 4 and len(seen) < MAX_SEARCHED:
            path = waiting.pop()
            node = self._node(path)
            address = None if node is None else h5py.h5o.get_info(node.id).addr
            if address in seen:  # a group may contain itself
                continue
            seen.add(address)
            if isinstance(node, h5py.Dataset) and node.ndim == 4 and node.dtype == np.uint8:
                found.append(path)
            elif isinstance(node, h5py.Group):
                links = ((name, node.get(name, getlink=True)) for name in reversed(_sorted_names(node)))
                waiting += [join(path, name) for name, link in links if isinstance(link, h5py.HardLink)]
        return found

    def _names(self, path: str, part: str) -> list[str]:
        group = self._node(path)
        if not isinstance(group, h5py.Group):
            return []
        if not any(sign in part for sign in "*?["):
            return [part] if part in group else []
        return [name for name in _sorted_names(group) if fnmatchcase(name, part)]

    def _dataset(self, path: str) -> h5py.Dataset | None:
        dataset = self._node(path)
        if not isinstance(dataset, h5py.Dataset):
            return None
        if dataset.is_virtual:
            raise self._refusal(path, "is a virtual dataset, which reads other files")
        if dataset.external:
            raise self._refusal(path, "has external storage, which reads other files")
        plan = dataset.id.get_create_plist()
        for index in range(plan.get_nfilters()):
            code = plan.get_filter(index)[0]
            if code not in ALLOWED_FILTERS:
                allowed = ", ".join(ALLOWED_FILTERS.values())
                raise self._refusal(path, f"uses filter {code}; allowed are {allowed}: rewrite it with h5repack")
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0
        if chunk > MAX_CHUNK_BYTES:
            raise self._refusal(path, f"has chunks of {chunk} bytes; the limit is {MAX_CHUNK_BYTES}")
        return dataset

    def _node(self, path: str) -> h5py.Group | h5py.Dataset | None:
        node: h5py.Group | h5py.Dataset = self._file["/"]
        parts, soft = path.split("/"), 0
        while parts:
            name = parts.pop(0)
            if name in ("", "."):
                continue
            link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.ExternalLink):
                raise self._refusal(path, f"is an external link to {link.filename}")
            if isinstance(link, h5py.SoftLink):
                soft += 1
                if soft > MAX_SOFT_LINKS:
                    raise self._refusal(path, "is a soft link that leads back to itself")
                node = self._file["/"] if link.path.startswith("/") else node
                parts = link.path.split("/") + parts
            else:
                node = node[name]
        return node

    def _refusal(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self._path}: refused: `{path}` {reason}")


def looks_like_images(dataset: h5py.Dataset) -> bool:
    """Whether dtype and shape are those of frames: (T, H, W, C) arrays, or one encoded image a row."""
    dtype, ndim = dataset.dtype, dataset.ndim
    if ndim == 4:
        return bool(dtype == np.uint8 or dtype.kind == "f")
    if ndim == 2:
        return bool(dtype == np.uint8)
    variable = h5py.check_vlen_dtype(dtype)
    return ndim == 1 and bool(dtype.kind == "S" or (variable is not None and variable == np.uint8))


def join(base: str, path: str) -> str:
    """Join group paths; `.` is the base itself and an absolute path stands alone."""
    if path.startswith("/"):
        return path
    return base if path in (".", "") else f"{base.rstrip('/')}/{path}"


def _sorted_names(group: h5py.Group) -> list[str]:
    # h5py gives names that are no Unicode as bytes; no layout can mean them.
    return sorted((name for name in group if isinstance(name, str)), key=natural)


def _declared_bytes(dataset: h5py.Dataset) -> int:
    # Not dataset.nbytes, which overflows for shapes that only a hostile file declares.
    return math.prod(dataset.shape or ()) * int(dataset.dtype.itemsize)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which demo_2 comes before demo_10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
