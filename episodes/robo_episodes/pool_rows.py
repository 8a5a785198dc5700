"""One row of a frame pool and its Arrow schema, with the metadata by which Hugging Face datasets shows images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from robo_episodes.episode import Image, Trust
from robo_episodes.images import decode_png


@dataclass(frozen=True)
class FrameRow:
    """One frame with where it comes from."""

    frame_id: str
    """First 16 hex digits of the SHA-256 of `png`."""
    png: bytes
    """The frame, losslessly encoded."""
    episode_id: str
    camera: str
    step: int | None
    """Index of the frame in its camera, 0 being the first; None where the camera's length is unknown."""
    steps_from_end: int | None
    """0 is the camera's final frame; None where the length is unknown."""
    instruction: str | None
    success: bool | None
    """Never set unless `trust` is LABEL."""
    source: str
    trust: Trust

    def image(self) -> Image:
        """Decode the frame, (H, W, 3) uint8 RGB."""
        return decode_png(self.png)


def frame_id(png: bytes) -> str:
    """Return the id of encoded frame bytes."""
    return hashlib.sha256(png).hexdigest()[:16]


_PLAIN = {
    "episode_id": "string",
    "camera": "string",
    "step": "int64",
    "steps_from_end": "int64",
    "instruction": "string",
    "success": "bool",
    "source": "string",
    "trust": "string",
}
_TYPES = {"string": pa.string(), "int64": pa.int64(), "bool": pa.bool_()}
_FEATURES: dict[str, dict[str, str]] = {
    "frame_id": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    **{name: {"dtype": dtype, "_type": "Value"} for name, dtype in _PLAIN.items()},
}
COLUMNS = ("frame_id", *_PLAIN)
"""All columns but the image."""

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("frame_id", pa.string(), nullable=False),
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(pa.field(name, _TYPES[dtype]) for name, dtype in _PLAIN.items()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def to_table(rows: Sequence[FrameRow]) -> pa.Table:
    """Turn rows into an Arrow table of `SCHEMA`."""
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    names = pa.array([f"{row.frame_id}.png" for row in rows], pa.string())
    images = pa.array([row.png for row in rows], pa.binary())
    columns["image"] = pa.StructArray.from_arrays([images, names], fields=list(SCHEMA.field("image").type))
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def from_record(record: dict[str, Any]) -> FrameRow:
    """Turn one record of `RecordBatch.to_pylist` into a row."""
    image = record.pop("image")
    return FrameRow(png=image["bytes"], **{**record, "trust": Trust(record["trust"])})
