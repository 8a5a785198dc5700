"""What is new tonight: recordings and frames that the server kept, without what an earlier night has seen.

The pool `intake` beside the nights has the frames of everything that was ever read, so that nothing is decoded twice;
it may be deleted. What a night has seen stands in its `episodes.txt`, which stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_dialog.nightly.drift import FEATURES, features
from robo_dialog.nightly.night import Night
from robo_episodes.pool import POOL_JSON, FramePool, write_atomically
from robo_episodes.pool_rows import FrameRow
from robo_episodes.pool_writer import writing

EPISODES = "episodes.txt"
NEW, POOL = "new", "pool"
_STATISTICS = "statistics.npz"


def server_pools(recorded: Path | None) -> list[Path]:
    """Frame pools that a server keeps below its folder, oldest first; its newest may still grow."""
    if recorded is None or not recorded.is_dir():
        return []
    return sorted(path for path in recorded.glob("pool-*") if (path / POOL_JSON).exists())


def seen_before(nights: Iterable[Night]) -> set[str]:
    """Episodes that these nights have seen."""
    files = (night.path / EPISODES for night in nights)
    return {one for file in files if file.exists() for one in file.read_text(encoding="utf-8").splitlines()}


def write_new(night: Night, sources: Iterable[Path], seen: set[str]) -> int:
    """Write the night's pool `new` of all episodes with an instruction that were not seen; returns their number.

    Raises:
        PoolError: a source is damaged, or the disk is full.
    """
    rows = (row for path in sources for row in FramePool.open(path).rows())
    fresh = (row for row in rows if row.episode_id not in seen and row.instruction is not None)
    episodes = copy_rows(fresh, night.path / NEW)
    write_atomically(night.path / EPISODES, "".join(f"{one}\n" for one in episodes).encode())
    return len(episodes)


def copy_rows(rows: Iterable[FrameRow], out: Path) -> list[str]:
    """Make a pool of these rows, in place of what is there; returns its episodes in order."""
    shutil.rmtree(out, ignore_errors=True)
    episodes: dict[str, None] = {}
    FramePool.create(out)
    with writing(out) as writer:
        for row in rows:
            writer.add(row)
            episodes[row.episode_id] = None
    return list(episodes)


def write_pool(night: Night, window: Iterable[Night]) -> int:
    """Write the pool of these nights' episodes, which are learned from together; returns their number."""
    pools = [FramePool.open(one.path / NEW) for one in window]
    return len(copy_rows((row for pool in pools for row in pool.rows()), night.path / POOL))


def write_statistics(night: Night) -> dict[str, NDArray[np.float32]]:
    """What the night's new frames look like, by camera (N, FEATURES); kept beside the pool for the nights to come."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    for row in FramePool.open(night.path / NEW).rows():
        found.setdefault(row.camera, []).append(features(row.image()))
    arrays = {camera: np.stack(rows) for camera, rows in found.items()}
    part = night.path / f".{_STATISTICS}"
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(night.path / _STATISTICS)
    return arrays


def read_statistics(nights: Iterable[Night]) -> dict[str, NDArray[np.float32]]:
    """The same of earlier nights, put together."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    for night in nights:
        if (night.path / _STATISTICS).exists():
            with np.load(night.path / _STATISTICS, allow_pickle=False) as file:
                for camera in file.files:
                    found.setdefault(camera, []).append(file[camera].reshape(-1, FEATURES))
    return {camera: np.concatenate(rows) for camera, rows in found.items()}
