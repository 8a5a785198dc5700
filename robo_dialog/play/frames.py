"""Frames of a pool by id, read from disk as they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from robo_dialog.errors import PoolError
from robo_dialog.play.moments import Moment
from robo_dialog.vlm.protocol import Embedder, Image
from robo_episodes.images import decode_png
from robo_episodes.pool import FramePool

ROW_GROUPS_HELD = 64
EMBEDDED_AT_ONCE = 512


class FrameStore:
    """Random access to the images of a pool; the row groups read last are held in memory."""

    def __init__(self, pool: FramePool) -> None:
        self._pool = pool
        self._place: dict[str, tuple[Path, int]] = {}
        for shard in pool.shards:
            file = pq.ParquetFile(shard)
            for group in range(file.num_row_groups):
                for frame_id in file.read_row_group(group, columns=["frame_id"])["frame_id"].to_pylist():
                    self._place.setdefault(frame_id, (shard, group))
        self._held: OrderedDict[tuple[Path, int], dict[str, bytes]] = OrderedDict()

    def png(self, frame_id: str) -> bytes:
        """The encoded frame.

        Raises:
            PoolError: the pool has no such frame.
        """
        if frame_id not in self._place:
            raise PoolError(
                f"{self._pool.path}: has no frame {frame_id}; name the pool that was played over with --pool"
            )
        place = self._place[frame_id]
        if place not in self._held:
            table = pq.ParquetFile(place[0]).read_row_group(place[1], columns=["frame_id", "image"])
            images = table["image"].to_pylist()
            self._held[place] = dict(zip(table["frame_id"].to_pylist(), [i["bytes"] for i in images], strict=True))
        self._held.move_to_end(place)
        while len(self._held) > ROW_GROUPS_HELD:
            self._held.popitem(last=False)
        return self._held[place][frame_id]

    def image(self, frame_id: str) -> Image:
        """The frame decoded, (H, W, 3) uint8 RGB."""
        return decode_png(self.png(frame_id))

    def images(self, frame_ids: Iterable[str]) -> dict[str, Image]:
        """Several frames decoded, each once; read in the order in which they lie on disk."""
        wanted = sorted(set(frame_ids), key=lambda one: (str(self._place.get(one, ("", 0))[0]), one))
        return {frame_id: self.image(frame_id) for frame_id in wanted}


class Unseen(dict[str, Image]):
    """Frames by id that are read when they are first looked at; few are, where answers are known beforehand.

    Args:
        images_of: frame ids to images.
    """

    def __init__(self, images_of: Callable[[Sequence[str]], Mapping[str, Image]]) -> None:
        super().__init__()
        self._images_of = images_of

    def __missing__(self, frame_id: str) -> Image:
        self[frame_id] = self._images_of([frame_id])[frame_id]
        return self[frame_id]


def embedded(vlm: object, store: FrameStore, moments: Iterable[Moment]) -> dict[str, npt.NDArray[np.float64]]:
    """Unit vectors by frame id of all final frames; empty if the model cannot embed images."""
    if not isinstance(vlm, Embedder):
        return {}
    ids = list(dict.fromkeys(frame for m in moments if m.final for frame in m.frames.values()))
    vectors: dict[str, npt.NDArray[np.float64]] = {}
    for start in range(0, len(ids), EMBEDDED_AT_ONCE):
        some = ids[start : start + EMBEDDED_AT_ONCE]
        images = store.images(some)
        vectors |= zip(some, vlm.embed([images[frame] for frame in some]), strict=True)
    return vectors
