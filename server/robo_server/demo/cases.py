"""What the demonstration asks about: episodes that are simulated now, read back through the ordinary readers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

DomainName: TypeAlias = Literal["source", "target", "far"]


@dataclass(frozen=True)
class CameraFrame:
    """The last image of one camera."""

    camera: str
    image: bytes
    """As it lies in the frame pool: JPEG or PNG."""


@dataclass(frozen=True)
class Case:
    """One episode to judge."""

    domain: str
    episode_id: str
    instruction: str
    success: bool
    """What the simulator's physics says; never sent to the server."""
    frames: tuple[CameraFrame, ...]


class PoolRow(Protocol):
    """What is read of one row of a frame pool."""

    @property
    def image(self) -> bytes: ...
    @property
    def episode_id(self) -> str: ...
    @property
    def camera(self) -> str: ...
    @property
    def steps_from_end(self) -> int: ...
    @property
    def instruction(self) -> str | None: ...
    @property
    def success(self) -> bool | None: ...


def from_pool(domain: str, rows: Iterable[PoolRow]) -> list[Case]:
    """Group the last frames of each episode; episodes in the order of the pool, frames in the order of their cameras.

    Episodes without instruction or label cannot be judged and are left out.
    """
    last: dict[str, list[PoolRow]] = {}
    for row in rows:
        if row.steps_from_end == 0 and row.instruction is not None and row.success is not None:
            last.setdefault(row.episode_id, []).append(row)
    return [
        Case(
            domain=domain,
            episode_id=episode_id,
            instruction=str(views[0].instruction),
            success=bool(views[0].success),
            frames=tuple(CameraFrame(view.camera, view.image) for view in sorted(views, key=lambda view: view.camera)),
        )
        for episode_id, views in last.items()
    ]
