"""One row a judged episode: what the detector says, on what evidence, and what the recording says itself.

The columns of verdict files (`robo_episodes.verdicts`) are among them, so that `robo-dialog annotate` takes the rows.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.verdicts import Outcome, VerdictRow

DIGITS = 6
"""Decimal places of probabilities."""
_PROBLEMS, _SHARD = b"problems", b"shard"
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Evidence:
    """The final frame of one camera by itself."""

    camera: str
    step: int | None
    """Index of the frame; None where the camera's length is unknown."""
    probability: float
    """P(success) in [0, 1]."""


@dataclass(frozen=True)
class Fulfilled:
    """Another instruction that the episode carried out."""

    instruction: str
    probability: float
    """P(success) in [0, 1]."""
    threshold: float
    before: float | None
    """P(success) of the first frames, below the threshold; None where there are none."""


@dataclass(frozen=True)
class LabelRow:
    """The verdict on one episode."""

    episode_id: str
    source: str
    step: int | None
    """None: the end of the episode."""
    outcome: Outcome
    probability: float
    """Calibrated P(success) in [0, 1], all cameras fused."""
    threshold: float
    judged_by: str
    """Name of the bundle and the beginning of its digest."""
    instruction: str
    note: str | None
    agreement: float
    """Share of the wordings that come to the same side, in [0, 1]."""
    cameras: tuple[Evidence, ...]
    label: bool | None
    """What a person or simulator said, which no verdict replaces; None where nobody did."""
    trust: str
    """How far the recording's success field may be believed; see `robo_episodes.episode.Trust`."""
    fulfilled: tuple[Fulfilled, ...]
    """Empty unless all instructions were asked."""
    model_digest: str
    base_model: str
    """With the two digests below the bundle's lineage; empty where it is not known."""
    pool_digest: str
    dialogs_digest: str
    time: str
    """When it was judged, in UTC."""

    @property
    def called(self) -> bool:
        """Whether success is the likelier side."""
        return self.probability >= self.threshold

    def verdict(self) -> VerdictRow:
        """The row of a verdict file."""
        return VerdictRow(
            self.episode_id,
            self.source,
            self.step,
            self.outcome,
            self.probability,
            self.judged_by,
            self.instruction,
            self.note,
        )


def _field(name: str, kind: pa.DataType, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable)


_EVIDENCE = [
    _field("camera", pa.string()),
    _field("step", pa.int64(), nullable=True),
    _field("probability", pa.float64()),
]
_FULFILLED = [
    _field("instruction", pa.string()),
    _field("probability", pa.float64()),
    _field("threshold", pa.float64()),
    _field("before", pa.float64(), nullable=True),
]
SCHEMA: pa.Schema = pa.schema(
    [
        _field("episode_id", pa.string()),
        _field("source", pa.string()),
        _field("step", pa.int64(), nullable=True),
        _field("outcome", pa.string()),
        _field("probability", pa.float64()),
        _field("threshold", pa.float64()),
        _field("judged_by", pa.string()),
        _field("instruction", pa.string()),
        _field("note", pa.string(), nullable=True),
        _field("agreement", pa.float64()),
        _field("cameras", pa.list_(pa.struct(_EVIDENCE))),
        _field("label", pa.bool_(), nullable=True),
        _field("trust", pa.string()),
        _field("fulfilled", pa.list_(pa.struct(_FULFILLED))),
        _field("model_digest", pa.string()),
        _field("base_model", pa.string()),
        _field("pool_digest", pa.string()),
        _field("dialogs_digest", pa.string()),
        _field("time", pa.string()),
    ]
)


def encode(shard: str, judged: Iterable[LabelRow | EpisodeWarning]) -> bytes:
    """A shard's result as a Parquet file, whose metadata hold the shard's content and what could not be judged."""
    told, content = [], io.BytesIO()
    waiting: list[dict[str, Any]] = []
    with pq.ParquetWriter(content, SCHEMA, compression="zstd") as writer:
        for one in judged:
            if isinstance(one, EpisodeWarning):
                told.append([one.episode, one.code, one.text])
                continue
            waiting.append(asdict(one))
            if len(waiting) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
        writer.add_key_value_metadata({_PROBLEMS: json.dumps(told, ensure_ascii=False), _SHARD: shard})
    return content.getvalue()


def tables(path: Path) -> Iterator[pa.Table]:
    """The rows of a Parquet file, few at a time.

    Raises:
        OSError, pa.ArrowException: the file is damaged.
    """
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            yield pa.Table.from_batches([batch.replace_schema_metadata(None)], SCHEMA)


def problems(path: Path) -> list[EpisodeWarning]:
    """What a shard's result says could not be judged."""
    return [EpisodeWarning(*one) for one in json.loads(pq.read_metadata(path).metadata[_PROBLEMS])]


def shard_of(path: Path) -> str:
    """The content of the shard that a result is of."""
    content: bytes = pq.read_metadata(path).metadata[_SHARD]
    return content.decode()


def row_of(record: dict[str, Any]) -> LabelRow:
    """The row of a record of `SCHEMA`."""
    cameras = tuple(Evidence(**one) for one in record["cameras"])
    fulfilled = tuple(Fulfilled(**one) for one in record["fulfilled"])
    return LabelRow(**{**record, "cameras": cameras, "fulfilled": fulfilled})


def as_json(problem: EpisodeWarning) -> dict[str, Json]:
    """A problem as a JSON object."""
    return {"episode": problem.episode, "code": problem.code, "text": problem.text}
