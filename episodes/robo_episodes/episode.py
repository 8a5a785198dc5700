"""What every reader yields: an `Episode` with lazy cameras, and the warnings that go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""One frame: (H, W, 3) uint8, RGB, row 0 at the top."""

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def readable(text: str) -> str:
    """Replace what is no valid Unicode, which broken files can hold and no table can store."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Trust(StrEnum):
    """How far the success field of a recording may be believed."""

    LABEL = "label"
    """It was stated for this attempt; `Episode.success` holds it, if it was present."""
    CONSTANT = "constant"
    """The writer puts the same value into every episode: it says nothing, `success` is None."""
    NONE = "none"
    """The recording says nothing about success."""


class FrameSource(Protocol):
    """The frames of one camera, decoded when asked for; cameras of one episode may differ in length.

    Every method raises `UnreadableError`, naming the file, where the recording is broken.
    """

    @property
    def length(self) -> int | None:
        """Number of frames, or None where only a full read would tell."""
        ...

    def first(self) -> Image:
        """Return the first frame."""
        ...

    def last(self, k: int) -> list[Image]:
        """Return the last `k` frames, oldest first; fewer if the camera has fewer."""
        ...

    def at(self, steps: Sequence[int]) -> list[Image]:
        """Return the frames at these steps (0 = first), in the order asked.

        Raises:
            IndexError: a step is negative or not below the length.
        """
        ...


@dataclass(frozen=True)
class EpisodeWarning:
    """Something a person should know about one episode or file; reading goes on."""

    episode: str
    """Episode id, or the path of a recording of which no episode could be made."""
    code: str
    """Stable word for programs, for example `one_frame` or `unreadable`."""
    text: str
    """One sentence for people, with the remedy."""


@dataclass(frozen=True)
class Episode:
    """One attempt at one instruction."""

    id: str
    """Name and content fingerprint: the same recording has the same id wherever it lies."""
    source: str
    """Absolute path of the recording; inside HDF5 files followed by `#<group>`."""
    layout: str
    """Name of the layout that recognised it."""
    instruction: str | None
    cameras: Mapping[str, FrameSource]
    """Camera name to frames; never empty."""
    success: bool | None
    """None unless `trust` is LABEL."""
    trust: Trust
    metadata: Mapping[str, Json] = field(default_factory=dict)
    warnings: tuple[EpisodeWarning, ...] = ()
