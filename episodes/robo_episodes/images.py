"""Stored image rows to RGB arrays and back to PNG; never crops or resizes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from robo_episodes.episode import Image
from robo_episodes.errors import UnreadableError

MAX_PIXELS = 50_000_000
"""Largest frame that is decoded, in pixels; a small hostile file can declare much more."""

PNG_SETTINGS = (
    cv2.IMWRITE_PNG_COMPRESSION,
    3,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
)
"""Fixed, because frame ids are hashes of the encoded bytes. One filter for all rows is faster than one chosen a row,
and camera images come out smaller."""

_STORED = (cv2.IMWRITE_PNG_COMPRESSION, 0, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)


Orient: TypeAlias = Literal["none", "flipud", "rot180"]
"""How stored images are turned upright."""


@dataclass(frozen=True)
class Coding:
    """How a recording stores its images."""

    color: Literal["rgb", "bgr"] = "rgb"
    """Channel order of raw arrays."""
    jpeg: Literal["standard", "cv2"] = "standard"
    """`cv2`: RGB arrays were given to cv2.imencode, which expects BGR; other decoders show red and blue swapped."""
    orient: Orient = "none"
    """What turns the stored image upright."""
    raw: tuple[tuple[int, int], ...] = ()
    """(height, width) of frames that are plain pixels instead of a JPEG or PNG, told by their number of bytes."""


def to_rgb(row: object, coding: Coding) -> Image:
    """Turn one stored row into an RGB image, dispatching on its dtype and not on the format.

    Args:
        row: (H, W, C) or (C, H, W) uint8 or float in [0, 1], or an encoded JPEG/PNG as bytes or (N,) uint8.
        coding: conventions of the writer.

    Raises:
        UnreadableError: the row is none of these.
    """
    if isinstance(row, bytes):
        image = _decode(row, coding)
    elif isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype == np.uint8:
        image = _decode(row.tobytes(), coding)
    elif isinstance(row, np.ndarray) and row.ndim == 3:
        image = _from_array(row, coding)
    else:
        what = f"{row.dtype} of shape {row.shape}" if isinstance(row, np.ndarray) else type(row).__name__
        raise UnreadableError(f"a frame is {what}; expected (H, W, 3) uint8 or an encoded JPEG or PNG")
    return upright(image, coding.orient)


def encode_png(image: Image, *, compress: bool = True) -> bytes:
    """Encode an RGB image losslessly; equal images give equal bytes.

    Args:
        image: of any size.
        compress: as pools hold it; otherwise ten times faster and larger, for those who decode it at once.
    """
    settings = PNG_SETTINGS if compress else _STORED
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    if not done:
        raise UnreadableError(f"an image of shape {image.shape} cannot be encoded as PNG")
    return data.tobytes()


def decode_png(data: bytes) -> Image:
    """Decode what `encode_png` wrote.

    Raises:
        UnreadableError: the bytes are no PNG.
    """
    return _decode(data, Coding())


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """Read (width, height) from a JPEG or PNG header without decoding; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 25:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start-of-frame segment
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + size
    return None


def is_picture(data: bytes) -> bool:
    """Whether bytes are an encoded camera image by their header: a JPEG, or a PNG that is no depth map of 16 bits."""
    return encoded_size(data) is not None and (data.startswith(b"\xff\xd8") or data[24] == 8)


def _decode(data: bytes, coding: Coding) -> Image:
    size = encoded_size(data)
    shape = next((shape for shape in coding.raw if len(data) == 3 * shape[0] * shape[1]), None)
    if size is None and shape is not None:
        return _from_array(np.frombuffer(data, np.uint8).reshape(*shape, 3), coding)
    if size is None:
        raise UnreadableError(f"an encoded frame of {len(data)} bytes is neither JPEG nor PNG")
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableError(f"an encoded frame declares {size[0]}x{size[1]} pixels; the limit is {MAX_PIXELS}")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise UnreadableError(f"an encoded frame of {len(data)} bytes is damaged")
    # imdecode names its channels BGR; where RGB was given to imencode it returns RGB as it is.
    return _pixels(decoded if coding.jpeg == "cv2" else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _from_array(array: NDArray[Any], coding: Coding) -> Image:
    if array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in (1, 3, 4):
        raise UnreadableError(f"a frame has shape {array.shape}; expected 1, 3 or 4 channels")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise UnreadableError("a float frame leaves the range [0, 1]; store uint8 instead")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UnreadableError(f"a frame has dtype {array.dtype}; expected uint8")
    if array.shape[2] == 1:
        return _pixels(np.repeat(array, 3, axis=2))
    return _pixels(array[..., 2::-1] if coding.color == "bgr" else array[..., :3])


def upright(image: Image, orient: Orient) -> Image:
    """Turn a stored image upright."""
    if orient == "flipud":
        return np.ascontiguousarray(image[::-1])
    if orient == "rot180":
        return np.ascontiguousarray(image[::-1, ::-1])
    return image


def _pixels(image: NDArray[Any]) -> Image:
    return np.ascontiguousarray(image, dtype=np.uint8)
