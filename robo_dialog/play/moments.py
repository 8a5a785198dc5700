"""What games are played about: moments of episodes, each seen by one or more cameras at once.

Only the columns named here are read from the pool. Labels are not among them, so that no game can peek.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robo_dialog.errors import PoolError
from robo_episodes.pool import FramePool

COLUMNS = ("frame_id", "episode_id", "camera", "step", "steps_from_end", "instruction")
"""All that play may know of a frame besides its pixels."""


@dataclass(frozen=True)
class Moment:
    """One time step of one episode."""

    episode_id: str
    instruction: str
    from_end: int
    """Steps before the final frame; 0 is the final one."""
    frames: Mapping[str, str]
    """Frame id by camera, cameras in the order of the pool."""

    @property
    def final(self) -> bool:
        """Whether it is the outcome of the episode."""
        return self.from_end == 0


def read_moments(pool: FramePool, cameras: Sequence[str] = ()) -> list[Moment]:
    """Moments of all episodes that have an instruction, in the order of the pool.

    Frames of several cameras belong to one moment if they are equally far from the end.

    Args:
        pool: where the frames lie.
        cameras: only these; empty: all.

    Raises:
        PoolError: no frame can be played with.
    """
    records = pool.table(COLUMNS).to_pylist()
    known = sorted({str(record["camera"]) for record in records})
    if records and (missing := [camera for camera in cameras if camera not in known]):
        raise PoolError(f"{pool.path}: has no camera {', '.join(missing)}; the pool has cameras {', '.join(known)}")
    found: dict[tuple[str, int], Moment] = {}
    for record in records:
        if record["instruction"] is None or (cameras and record["camera"] not in cameras):
            continue
        if record["steps_from_end"] is None:
            continue  # the first frame of a recording of unknown length: nobody knows what it is simultaneous with
        key = (record["episode_id"], record["steps_from_end"])
        before = found[key].frames if key in found else {}
        frames = {**before, record["camera"]: record["frame_id"]}
        found[key] = Moment(key[0], record["instruction"], key[1], frames)
    if not found:
        raise PoolError(_nothing(pool, records, cameras))
    return list(found.values())


def _nothing(pool: FramePool, records: Sequence[Mapping[str, object]], cameras: Sequence[str]) -> str:
    if not records:
        return f"{pool.path}: the pool is empty; ingest recordings first"
    if all(record["instruction"] is None for record in records):
        return f"{pool.path}: no frame has an instruction; ingest again with --instruction TEXT"
    seen_by = f" of cameras {', '.join(cameras)}" if cameras else ""
    return f"{pool.path}: no frame{seen_by} has both an instruction and a known place in its episode"


def digest(pool: FramePool) -> str:
    """64 hex digits that are equal for pools that play sees as equal: labels may come later, or change."""
    hasher = hashlib.sha256()
    for record in pool.table(COLUMNS).to_pylist():
        hasher.update(json.dumps(record, sort_keys=True).encode() + b"\n")
    return hasher.hexdigest()
