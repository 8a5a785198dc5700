"""Adding rows to a frame pool: shard by shard, each whole or absent, and no row twice."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robo_episodes.errors import PoolError
from robo_episodes.pool import POOL_JSON, FramePool, PoolEpisode, shard_name, sync_folder, totals, write_json
from robo_episodes.pool_rows import FrameRow, to_table

SHARD_ROWS = 1000
SHARD_BYTES = 128 << 20
ROW_GROUP = 100
"""Rows that a reader has to fetch for one image."""

_LOCK = ".lock"
_REPEATED = ["episode_id", "camera", "instruction", "source", "trust"]


@dataclass
class PoolIndex:
    """Which frames a pool has, by content and by place."""

    episodes: dict[str, PoolEpisode] = field(default_factory=dict)
    keys: set[tuple[str, str, str, int | None]] = field(default_factory=set)
    """(frame_id, episode_id, camera, step)"""
    places: set[tuple[str, str, int]] = field(default_factory=set)
    """(episode_id, camera, step)"""

    @classmethod
    def of(cls, pool: FramePool) -> PoolIndex:
        """Read the index of a pool, without its images."""
        index = cls(episodes={episode.id: episode for episode in pool.episodes()})
        columns = pool.table(["frame_id", "episode_id", "camera", "step"])
        for key in zip(*(column.to_pylist() for column in columns.columns), strict=True):
            index._enter(*key)
        return index

    def add(self, row: FrameRow) -> bool:
        """Enter a row; False if it was there."""
        key = (row.frame_id, row.episode_id, row.camera, row.step)
        if key in self.keys:
            return False
        self._enter(*key)
        return True

    def has(self, episode_id: str, camera: str, step: int) -> bool:
        """Whether the frame at this place is there, whatever it shows."""
        return (episode_id, camera, step) in self.places

    def _enter(self, frame_id: str, episode_id: str, camera: str, step: int | None) -> None:
        self.keys.add((frame_id, episode_id, camera, step))
        if step is not None:
            self.places.add((episode_id, camera, step))


@dataclass
class PoolWriter:
    """Collects rows and writes a shard whenever enough have come; get one from `writing`."""

    path: Path
    index: PoolIndex
    shards: int
    """Number of shards written so far."""
    shard_rows: int
    waiting: list[FrameRow] = field(default_factory=list)
    waiting_bytes: int = 0

    def add(self, row: FrameRow) -> bool:
        """Take a row; False if the pool has it."""
        if not self.index.add(row):
            return False
        self.waiting.append(row)
        self.waiting_bytes += len(row.png)
        if len(self.waiting) >= self.shard_rows or self.waiting_bytes >= SHARD_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Write the waiting rows as one shard.

        Raises:
            PoolError: the disk is full or not writable.
        """
        if not self.waiting:
            return
        final = self.path / shard_name(self.shards)
        try:
            _write_shard(final, to_table(self.waiting))
        except OSError as error:
            raise PoolError(f"{final}: cannot be written ({error}); free some space and run again") from error
        self.shards += 1
        self.waiting, self.waiting_bytes = [], 0


@contextmanager
def writing(path: Path, shard_rows: int = SHARD_ROWS) -> Iterator[PoolWriter]:
    """Create or open a pool, lock it for one writer, and write its last shard and totals when the block ends well.

    After an error or a kill the whole shards stay, so that the next run cuts the same shards as this one would have.

    Raises:
        PoolError: the pool is damaged, or another process is writing to it.
    """
    is_new = not path.exists()
    FramePool.create(path)
    with _locked(path):
        for leftover in path.glob(".*.tmp"):
            leftover.unlink()
        pool = FramePool.create(path)
        writer = PoolWriter(path, PoolIndex.of(pool), shards=len(pool.shards), shard_rows=shard_rows)
        try:
            yield writer
            writer.flush()
        except BaseException:
            if is_new and writer.shards == 0:  # nothing came of it, for example a wrong option
                shutil.rmtree(path)
            raise
        _write_totals(path)


def _write_shard(final: Path, table: pa.Table) -> None:
    temporary = final.with_name(f".{final.name}.tmp")
    with temporary.open("wb") as file:
        pq.write_table(
            table,
            file,
            row_group_size=ROW_GROUP,
            compression="zstd",
            use_dictionary=_REPEATED,
            write_page_checksum=True,
        )
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def _write_totals(path: Path) -> None:
    pool = FramePool.create(path)
    write_json(path / POOL_JSON, totals(len(pool.shards), len(pool), len(pool.episodes())))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with (path / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PoolError(f"{path}: another process is adding to this pool; wait for it to end") from None
        yield
