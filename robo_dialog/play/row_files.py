"""Training rows in the files that fine-tuning programs load as they are.

One row is one conversation of one role. All its assistant messages are that role's own words and nothing else is, so
"loss on assistant messages only" is what every trainer is to be told: `assistant_only_loss=True` and `max_length=None`
in TRL's SFTConfig; LLaMA-Factory does it by itself. Both take images from the column `images` in the order in which the
first message shows them, TRL before its text and LLaMA-Factory at the marks in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from robo_dialog.errors import ConfigError
from robo_dialog.play.rows import Row
from robo_episodes.images import encode_png
from robo_episodes.pool import sync_folder, write_json

DATASET = "robo_dialog"
"""Name of the rows in LLaMA-Factory: `dataset: robo_dialog`."""
IMAGE_MARK = "<image>"
MARKS = (IMAGE_MARK, "<video>", "<audio>")
"""What LLaMA-Factory replaces by media wherever a text holds it."""
ROWS_HELD = 64
"""Rows in memory while writing, with their images."""

_STRING = {"dtype": "string", "_type": "Value"}
_FEATURES = {
    "images": {"feature": {"_type": "Image"}, "_type": "Sequence"},
    "messages": [{"role": _STRING, "content": _STRING}],
    "trained": {"feature": {"dtype": "bool", "_type": "Value"}, "_type": "Sequence"},
    "role": _STRING,
    "sources": {"feature": _STRING, "_type": "Sequence"},
    "instruction": _STRING,
    "pairing": _STRING,
    "round": {"dtype": "int64", "_type": "Value"},
    "game_id": {"dtype": "int64", "_type": "Value"},
}
"""In the notation that Hugging Face datasets of every version reads."""

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        pa.field("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        pa.field("trained", pa.list_(pa.bool_())),
        pa.field("role", pa.string()),
        pa.field("sources", pa.list_(pa.string())),
        pa.field("instruction", pa.string()),
        pa.field("pairing", pa.string()),
        pa.field("round", pa.int64()),
        pa.field("game_id", pa.int64()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write rows to one Parquet file, whole or not at all, for TRL and Hugging Face datasets; returns their number.

    `images` are PNG files in the layout of the `Image` feature, `messages` hold plain texts.

    Raises:
        ConfigError: the file cannot be written.
    """
    count = 0
    with _replacing(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        remaining = iter(rows)
        while some := tuple(islice(remaining, ROWS_HELD)):
            writer.write_table(_table(some))
            count += len(some)
    return count


def _table(rows: tuple[Row, ...]) -> pa.Table:
    images = {name: image for row in rows for name, image in row.images.items()}
    files = {name: {"bytes": encode_png(image), "path": name} for name, image in images.items()}
    records = [_record(row) | {"images": [files[name] for name in row.image_names]} for row in rows]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def _record(row: Row) -> dict[str, object]:
    return {
        "messages": [{"role": message.role, "content": message.text} for message in row.messages],
        "trained": list(row.trained),
        "role": row.role,
        "sources": list(row.sources),
        "instruction": row.instruction,
        "pairing": row.pairing,
        "round": row.round,
        "game_id": row.game_id,
    }


def write_sharegpt(rows: Iterable[Row], folder: Path) -> int:
    """Write rows for LLaMA-Factory (`dataset_dir: FOLDER`, `dataset: robo_dialog`); returns their number.

    The folder gets `images/`, each image once, an entry in `dataset_info.json`, which keeps the entries of other
    datasets, and at the end `robo_dialog.jsonl` in one go.

    Raises:
        ConfigError: something cannot be written, or a text holds what LLaMA-Factory takes for an image.
    """
    written: set[str] = set()
    count = 0
    with _replacing(folder / f"{DATASET}.jsonl") as file:
        (folder / "images").mkdir(exist_ok=True)
        for row in rows:
            _write_images(row, folder / "images", written)
            file.write((json.dumps(_sharegpt_record(row), ensure_ascii=False) + "\n").encode())
            count += 1
        info = folder / "dataset_info.json"
        write_json(info, {**_known_datasets(info), DATASET: _DATASET_ENTRY})
    return count


def _sharegpt_record(row: Row) -> dict[str, object]:
    marked = [mark for message in row.messages for mark in MARKS if mark in message.text]
    if marked:
        raise ConfigError(
            f"game {row.game_id}: a text holds {marked[0]}, which LLaMA-Factory takes for a file; "
            f"delete the game's line from dialogs.jsonl, or train with the Parquet file and TRL"
        )
    texts = [IMAGE_MARK * len(message.images) + message.text for message in row.messages]
    messages = [{"role": m.role, "content": text} for m, text in zip(row.messages, texts, strict=True)]
    return _record(row) | {"messages": messages, "images": [f"images/{name}" for name in row.image_names]}


def _write_images(row: Row, folder: Path, written: set[str]) -> None:
    for name, image in row.images.items():
        if Path(name).name != name:
            raise ConfigError(f"game {row.game_id}: {name!r} is no file name; play on a pool that `ingest` wrote")
        if name not in written:
            part = folder / f".{name}.tmp"
            part.write_bytes(encode_png(image))
            part.replace(folder / name)
            written.add(name)


_DATASET_ENTRY = {
    "file_name": f"{DATASET}.jsonl",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def _known_datasets(info: Path) -> dict[str, object]:
    try:
        return dict(json.loads(info.read_bytes())) if info.exists() else {}
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{info}: is no JSON object ({error}); repair it, or choose an empty folder") from error


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name once it is whole and on the disk."""
    part = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: is not written ({error}); put that right and run again") from error
    finally:
        if part.exists():
            part.unlink()
