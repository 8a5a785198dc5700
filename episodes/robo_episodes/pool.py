"""Frame pools: directories of Parquet shards with the frames that games are played over, and where they come from.

    pool.json              schema version and totals
    frames-00000.parquet   rows of `pool_rows.SCHEMA`, in the order in which they were ingested
    README.md              a dataset card, so that `datasets.load_dataset(POOL)` opens the shards

Shards are the truth: each appears whole, by a rename, and is never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robo_episodes.episode import Trust
from robo_episodes.errors import PoolError
from robo_episodes.pool_rows import COLUMNS, SCHEMA, FrameRow, from_record

SCHEMA_VERSION = 1
POOL_JSON = "pool.json"
CARD = "README.md"

_SHARD = re.compile(r"frames-(\d{5})\.parquet")
_CARD = """\
---
configs:
- config_name: default
  data_files: "frames-*.parquet"
---

# Frame pool

Frames of robot episodes with their provenance, written by `robo-dialog ingest`. `success` is set only where
`trust` is `label`.
"""


@dataclass(frozen=True)
class PoolEpisode:
    """What a pool knows of one episode."""

    id: str
    instruction: str | None
    success: bool | None
    trust: Trust
    source: str
    cameras: tuple[str, ...]
    """In the order in which they were ingested."""
    frames: int
    """Number of rows."""


@dataclass(frozen=True)
class FramePool:
    """A pool as it was when it was opened."""

    path: Path
    shards: tuple[Path, ...]
    """In order; only whole ones."""

    @classmethod
    def create(cls, path: Path) -> FramePool:
        """Make an empty pool, or open the one that is there to add to it.

        Shards missing at the end are accepted: ingesting the same recordings writes them again.

        Raises:
            PoolError: the folder holds something else, or a damaged pool.
        """
        if not (path / POOL_JSON).exists():
            if path.exists() and (not path.is_dir() or any(not file.name.startswith(".") for file in path.iterdir())):
                raise PoolError(f"{path}: is no frame pool and not empty; choose another folder")
            try:
                path.mkdir(parents=True, exist_ok=True)
                write_json(path / POOL_JSON, totals(0, 0, 0))
            except OSError as error:
                raise PoolError(f"{path}: cannot be made ({error}); choose another folder") from error
        if not (path / CARD).exists():
            write_atomically(path / CARD, _CARD.encode())
        _read_header(path)
        return cls(path=path, shards=_shards(path))

    @classmethod
    def open(cls, path: Path) -> FramePool:
        """Open a pool for reading.

        Raises:
            PoolError: there is none, it is of another schema version, or a shard is missing or damaged.
        """
        header = _read_header(path)
        shards = _shards(path)
        if len(shards) < header["shards"]:
            missing = path / shard_name(len(shards))
            raise PoolError(f"{missing}: the shard is missing; restore it, or ingest the same recordings again")
        return cls(path=path, shards=shards)

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(_metadata(shard).num_rows for shard in self.shards)

    def rows(self) -> Iterator[FrameRow]:
        """Yield all rows in order, holding few in memory.

        Raises:
            PoolError: a shard is damaged.
        """
        for shard in self.shards:
            with _damage_named(shard):
                for batch in _file(shard).iter_batches(batch_size=64):
                    yield from map(from_record, batch.to_pylist())

    def table(self, columns: Sequence[str] = COLUMNS) -> pa.Table:
        """Return columns of all rows, in order; by default all but the images.

        Raises:
            PoolError: a shard is damaged.
        """
        tables = []
        for shard in self.shards:
            with _damage_named(shard):
                tables.append(_file(shard).read(columns=list(columns)))
        empty = pa.schema([SCHEMA.field(name) for name in columns]).empty_table()
        return pa.concat_tables(tables) if tables else empty

    def episodes(self) -> list[PoolEpisode]:
        """Return the episodes, in the order in which they were ingested."""
        groups: dict[str, list[dict[str, object]]] = {}
        for record in self.table().to_pylist():
            groups.setdefault(record["episode_id"], []).append(record)
        return [_episode(identity, records) for identity, records in groups.items()]

    def digest(self) -> str:
        """Return 64 hex digits that are equal for pools with equal rows in equal order, wherever they lie.

        `source` is left out; the images are covered by their ids.
        """
        hasher = hashlib.sha256()
        for record in self.table([name for name in COLUMNS if name != "source"]).to_pylist():
            hasher.update(json.dumps(record, sort_keys=True).encode() + b"\n")
        return hasher.hexdigest()


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"frames-{index:05d}.parquet"


def totals(shards: int, frames: int, episodes: int) -> dict[str, int]:
    """Return the content of pool.json."""
    return {"schema_version": SCHEMA_VERSION, "shards": shards, "frames": frames, "episodes": episodes}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically, readable by people."""
    write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_header(path: Path) -> dict[str, int]:
    file = path / POOL_JSON
    try:
        header = json.loads(file.read_text(encoding="utf-8"))
        found, shards = header["schema_version"], int(header["shards"])
    except FileNotFoundError:
        raise PoolError(
            f"{path}: is no frame pool ({POOL_JSON} is missing); make one with: robo-dialog ingest"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PoolError(f"{file}: is damaged ({error!r}); ingest the recordings into a new pool") from error
    if found != SCHEMA_VERSION:
        raise PoolError(f"{file}: schema version {found}, this program reads {SCHEMA_VERSION}; ingest into a new pool")
    return {"schema_version": found, "shards": shards}


def _shards(path: Path) -> tuple[Path, ...]:
    names = sorted(file.name for file in path.iterdir() if _SHARD.fullmatch(file.name))
    for index, name in enumerate(names):
        if name != shard_name(index):
            raise PoolError(f"{path / shard_name(index)}: the shard is missing; restore it, or delete all later ones")
        _metadata(path / name)
    return tuple(path / name for name in names)


def _metadata(shard: Path) -> pq.FileMetaData:
    with _damage_named(shard):
        file = _file(shard)
        if file.schema_arrow.names != SCHEMA.names:
            raise PoolError(f"{shard}: has columns {file.schema_arrow.names}, expected {SCHEMA.names}")
        return file.metadata


def _file(shard: Path) -> pq.ParquetFile:
    return pq.ParquetFile(shard, page_checksum_verification=True)


@contextmanager
def _damage_named(shard: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PoolError(
            f"{shard}: the shard is damaged ({reason}); delete it and all later ones, "
            "then ingest the same recordings again"
        ) from error


def _episode(identity: str, records: list[dict[str, object]]) -> PoolEpisode:
    first = records[0]
    return PoolEpisode(
        id=identity,
        instruction=None if first["instruction"] is None else str(first["instruction"]),
        success=None if first["success"] is None else bool(first["success"]),
        trust=Trust(str(first["trust"])),
        source=str(first["source"]),
        cameras=tuple(dict.fromkeys(str(record["camera"]) for record in records)),
        frames=len(records),
    )
