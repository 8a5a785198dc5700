"""A pool with what was said of its frames, as a folder for `datasets.load_dataset`: the pool's columns and more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from robo_dialog.detect.durable import replace_file
from robo_dialog.errors import ConfigError
from robo_dialog.share.said import Said
from robo_episodes import pool_rows
from robo_episodes.pool_rows import FrameRow

FILE = "frames.parquet"
_ROWS_HELD = 256
_STRING = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "float64", "_type": "Value"}
_BOOL = {"dtype": "bool", "_type": "Value"}
_SAID = {
    "outcome": _STRING,
    "probability": _NUMBER,
    "judged_by": _STRING,
    "answers": [{"question": _STRING, "answer": _BOOL, "p_yes": _NUMBER, "kept": _BOOL}],
}
_ANSWER = [("question", pa.string()), ("answer", pa.bool_()), ("p_yes", pa.float64()), ("kept", pa.bool_())]
_POOL_FEATURES = json.loads(pool_rows.SCHEMA.metadata[b"huggingface"])["info"]["features"]
SCHEMA: pa.Schema = pa.schema(
    [
        *pool_rows.SCHEMA,
        pa.field("outcome", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("judged_by", pa.string()),
        pa.field("answers", pa.list_(pa.struct(_ANSWER))),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": {**_POOL_FEATURES, **_SAID}}})},
)
_CARD = b"""\
---
configs:
- config_name: default
  data_files: "frames.parquet"
---

# Frames of robot episodes with verdicts

Written by `robo-dialog share`. `success` is what a person or a simulator said, and empty where nobody did; `outcome`
and `probability` are the verdict of `judged_by` on the final frames of the episode; `answers` are what a model answered
about the moment in dialog games.
"""


def write_dataset(rows: Iterable[tuple[FrameRow, Said]], folder: Path) -> int:
    """Write the folder; returns the number of rows.

    Raises:
        ConfigError: the folder has something else in it, or cannot be written.
        PoolError: the pool that the rows come from is damaged.
    """
    count = 0
    remaining = iter(rows)
    with _replacing(folder) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        while some := tuple(islice(remaining, _ROWS_HELD)):
            writer.write_table(_table(some))
            count += len(some)
    return count


def _table(rows: tuple[tuple[FrameRow, Said], ...]) -> pa.Table:
    verdicts = [said.verdict for _, said in rows]
    columns = pool_rows.to_table([row for row, _ in rows]).to_pydict() | {
        "outcome": [one and one.outcome for one in verdicts],
        "probability": [one and one.probability for one in verdicts],
        "judged_by": [one and one.judged_by for one in verdicts],
        "answers": [[asdict(one) for one in said.answers] for _, said in rows],
    }
    return pa.table(columns, schema=SCHEMA)


@contextmanager
def _replacing(folder: Path) -> Iterator[BinaryIO]:
    """The file that is there whole at the end of the block, with its card, or as it was before."""
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {FILE, "README.md"}):
        raise ConfigError(f"{folder}: has something else in it; choose another --out")
    draft = folder / f".{FILE}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
        draft.replace(folder / FILE)
        replace_file(folder / "README.md", _CARD)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        draft.unlink(missing_ok=True)
