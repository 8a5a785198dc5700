"""What an HDF5 file may hold: no other files, no plugins, no terabytes in a kilobyte, no frames never written.

Camera recordings need none of what is refused here.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from robo_episodes.images import MAX_PIXELS

# Read once when the HDF5 library starts: `::` keeps it from loading filter plugins named by a file.
os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")
import h5py as h5py
import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 5_000_000
"""Most frames of one camera in one episode: two days at 30 frames a second."""
MAX_DATASET_BYTES = 256 << 30
"""Most bytes that one camera of one episode may declare."""
MAX_FRAME_BYTES = 256 << 20
"""Most bytes of one frame as it is stored."""
MAX_CHUNK_BYTES = 1 << 30
"""Most bytes that reading one frame may have to decompress."""
MAX_SMALL_BYTES = 64 << 20
"""Most bytes of what is no camera (rewards, instructions, attributes)."""
MAX_CHUNKS_CHECKED = 1000
"""Most chunks of which it is looked up whether they were written."""
ALLOWED_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}

_EXTERNAL, _VIRTUAL = "has external storage, which reads other files", "is a virtual dataset, which reads other files"


def storage_refusal(plan: h5py.h5p.PropDCID, item: int) -> str | None:
    """Say why a dataset stored by this plan, with so many bytes an element, is not opened; None: it is harmless."""
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        return _VIRTUAL
    if layout == h5py.h5d.CONTIGUOUS:
        return _EXTERNAL if plan.get_external_count() else None
    for index in range(plan.get_nfilters()):
        code = plan.get_filter(index)[0]
        if code not in ALLOWED_FILTERS:
            return f"uses filter {code}; allowed are {', '.join(ALLOWED_FILTERS.values())}: rewrite it with h5repack"
    chunk = math.prod(plan.get_chunk()) * item if layout == h5py.h5d.CHUNKED else 0
    return f"has chunks of {chunk} bytes; the limit is {MAX_CHUNK_BYTES}" if chunk > MAX_CHUNK_BYTES else None


def size_refusal(shape: tuple[int, ...], item: int) -> str | None:
    """Say why images of this shape and bytes an element are not read; None: a camera can have as much."""
    count, nbytes = shape[0], math.prod(shape) * item
    pixels = math.prod(shape[1:]) // 3 if len(shape) == 4 else 0
    if count > MAX_FRAMES:
        return f"declares {count} frames; the limit is {MAX_FRAMES}"
    if pixels > MAX_PIXELS:
        return f"declares frames of {pixels} pixels; the limit is {MAX_PIXELS}"
    if nbytes > MAX_DATASET_BYTES:
        return f"declares {nbytes} bytes; the limit is {MAX_DATASET_BYTES}"
    if nbytes > MAX_FRAME_BYTES * count:
        return f"declares {nbytes // count} bytes a frame; the limit is {MAX_FRAME_BYTES}"
    return None


def is_written(identity: h5py.h5d.DatasetID, plan: h5py.h5p.PropDCID, shape: tuple[int, ...], rows: range) -> bool:
    """Whether rows were ever written; a recorder that died leaves some that read as black frames."""
    if plan.get_layout() != h5py.h5d.CHUNKED:
        return bool(identity.get_storage_size() > 0)
    chunk = plan.get_chunk()
    sides = [range(rows.start // chunk[0] * chunk[0], rows.stop, chunk[0])]
    sides += [range(0, size, step) for size, step in zip(shape[1:], chunk[1:], strict=True)]
    corners = islice(product(*sides), MAX_CHUNKS_CHECKED)
    return all(identity.get_chunk_info_by_coord(corner).byte_offset is not None for corner in corners)


def declared_bytes(identity: h5py.h5d.DatasetID | h5py.h5a.AttrID) -> int:
    """Return how many bytes something declares to hold, without overflow where a hostile file declares too many."""
    return math.prod(identity.shape or ()) * item_bytes(identity)


def item_bytes(identity: h5py.h5d.DatasetID | h5py.h5a.AttrID) -> int:
    """Return the bytes of one element as stored."""
    return int(identity.get_type().get_size())


def looks_like_images(dtype: np.dtype[Any], ndim: int) -> bool:
    """Whether dtype and shape are those of frames: (T, H, W, C) arrays, or one encoded image a row."""
    if ndim == 4:
        return dtype == np.uint8 or dtype.kind == "f"
    if ndim == 2:
        return dtype == np.uint8
    variable = h5py.check_vlen_dtype(dtype)
    return ndim == 1 and (dtype.kind == "S" or (variable is not None and variable == np.uint8))


@dataclass(frozen=True)
class Images:
    """A checked dataset of frames."""

    identity: h5py.h5d.DatasetID
    plan: h5py.h5p.PropDCID
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @property
    def encoded(self) -> bool:
        """Whether a frame is a JPEG or PNG, and no array."""
        return len(self.shape) != 4

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read some rows in one slice."""
        if len(self.shape) == 1:  # texts and rows of any length are h5py's to convert
            return np.asarray(h5py.Dataset(self.identity)[start:stop])
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        space = self.identity.get_space()
        space.select_hyperslab((start, *([0] * (len(self.shape) - 1))), rows.shape)
        self.identity.read(h5py.h5s.create_simple(rows.shape), space, rows)
        return rows
