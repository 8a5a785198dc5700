"""The frames of one camera in an HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robo_episodes.episode import Image
from robo_episodes.errors import UnreadableError
from robo_episodes.hdf5 import Hdf5Tree, opened
from robo_episodes.images import Coding, to_rgb


@dataclass(frozen=True)
class Hdf5Frames:
    """A `FrameSource` that opens the file for every call, so that it holds no handle and may be sent to a worker."""

    path: Path
    dataset: str
    """Absolute path of the camera's dataset; its first axis is time."""
    length: int
    """Number of frames, the terminal one included."""
    coding: Coding
    terminal: str | None = None
    """Dataset whose last row is the frame after `dataset`'s last one."""

    @property
    def stored(self) -> int:
        """Number of frames in `dataset` itself."""
        return self.length - (self.terminal is not None)

    def first(self) -> Image:
        """Return the first frame."""
        return self.at([0])[0]

    def last(self, k: int) -> list[Image]:
        """Return the last `k` frames, oldest first."""
        return self._read(range(max(0, self.length - k), self.length))

    def at(self, steps: Sequence[int]) -> list[Image]:
        """Return the frames at these steps, 0 being the first."""
        for step in steps:
            if not 0 <= step < self.length:
                raise IndexError(f"{self.path}#{self.dataset}: step {step} of {self.length} frames")
        return self._read(steps)

    def _read(self, steps: Sequence[int]) -> list[Image]:
        with opened(self.path) as tree:
            rows = raw_rows(tree, self.dataset, [step for step in steps if step < self.stored])
            images = {step: self._decode(row, step) for step, row in rows.items()}
            if self.terminal is not None and self.stored in steps:
                images[self.stored] = self._decode(last_row(tree, self.terminal), self.stored)
        return [images[step] for step in steps]

    def _decode(self, row: object, step: int) -> Image:
        try:
            return to_rgb(row, self.coding)
        except UnreadableError as error:
            raise UnreadableError(f"{self.path}#{self.dataset}: step {step}: {error}") from error


def raw_rows(tree: Hdf5Tree, dataset: str, steps: Sequence[int]) -> dict[int, object]:
    """Read rows as they are stored; a contiguous range in one slice, because chunks often hold many frames."""
    if not steps:
        return {}
    ordered = sorted(set(steps))
    start, stop = ordered[0], ordered[-1] + 1
    if stop - start == len(ordered):
        return dict(zip(ordered, tree.rows(dataset, start, stop), strict=True))
    return {step: tree.rows(dataset, step, step + 1)[0] for step in ordered}


def last_row(tree: Hdf5Tree, dataset: str) -> object:
    """Read the last row of a camera as it is stored."""
    images = tree.images(dataset)
    length = 0 if images is None else images.length
    row: object = tree.rows(dataset, length - 1, length)[0]
    return row
