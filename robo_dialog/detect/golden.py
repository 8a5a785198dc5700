"""`golden.npz`: inputs with the scores that the original model gave them; the gate before a bundle is believed."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_dialog.errors import BundleError

GOLDEN = "golden.npz"

_LARGEST_ARRAY = 64 << 20
_ARRAYS = ("images", "instructions", "margins")


@dataclass(frozen=True)
class Golden:
    """`N` samples, at least one."""

    images: NDArray[np.uint8]
    """RGB [N, size, size, 3], of the model's own size."""
    instructions: tuple[str, ...]
    margins: NDArray[np.float32]
    """[N] logit of "yes" minus logit of "no", by the original model."""

    def encode(self) -> bytes:
        """The bytes of `golden.npz`; equal samples give equal bytes."""
        arrays = {"images": self.images, "instructions": np.array(self.instructions), "margins": self.margins}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                plain = io.BytesIO()
                np.lib.format.write_array(plain, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), plain.getvalue(), zipfile.ZIP_DEFLATED)
        return packed.getvalue()


def parse_golden(data: bytes) -> Golden:
    """Read `golden.npz` without pickle and without trusting the sizes that it claims.

    Raises:
        BundleError: other arrays, types or shapes than `encode` writes, or more than 64 MiB unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sorted(archive.namelist()) != [f"{name}.npy" for name in _ARRAYS]:
                raise ValueError("other arrays")
            images, instructions, margins = (_read_array(archive, f"{name}.npy") for name in _ARRAYS)
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{GOLDEN}: is not what an export writes; export the bundle again") from error
    count = len(margins)
    fits = images.dtype == np.uint8 and instructions.dtype.kind == "U" and margins.dtype == np.float32
    if not (fits and count and images.ndim == 4 and images.shape[0] == count and instructions.shape == (count,)):
        raise BundleError(f"{GOLDEN}: its arrays do not fit together; export the bundle again")
    texts = tuple(str(text) for text in instructions)
    return Golden(images.astype(np.uint8, copy=False), texts, margins.astype(np.float32, copy=False))


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    if archive.getinfo(name).file_size > _LARGEST_ARRAY:
        raise ValueError("too large")
    plain = io.BytesIO(archive.read(name))
    if np.lib.format.read_magic(plain) != (1, 0):
        raise ValueError("unknown version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(plain)
    if dtype.hasobject or not shape or np.prod(shape, dtype=np.float64) * dtype.itemsize > _LARGEST_ARRAY:
        raise ValueError("too large or not plain")
    plain.seek(0)
    return np.asarray(np.lib.format.read_array(plain, allow_pickle=False))
