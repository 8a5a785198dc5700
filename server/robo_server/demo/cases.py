"""What the demonstration asks about: episodes that are simulated now, read back through the ordinary readers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from robo_episodes.pool_rows import FrameRow

DomainName: TypeAlias = Literal["source", "target", "far"]


@dataclass(frozen=True)
class CameraFrame:
    """The last image of one camera."""

    camera: str
    image: bytes
    """JPEG or PNG."""


@dataclass(frozen=True)
class Case:
    """One episode to judge."""

    domain: str
    episode_id: str
    instruction: str
    success: bool
    """What the simulator's physics says; never sent to the server."""
    frames: tuple[CameraFrame, ...]


def prepare(domain: DomainName, episodes: int, seed: int, folder: Path) -> list[Case]:
    """Simulate episodes that no model was trained on, ingest the recording, and read the cases from the pool.

    A recording of the same domain, number and seed that is in `folder` already is used again.

    Raises:
        RoboDialogError: the episodes cannot be rendered (the message names what to install), written or read.
    """
    from robo_episodes.commands import Ingest
    from robo_episodes.pool import FramePool
    from robo_episodes.sim.command import Simulate

    name = f"{domain}-{seed}-{episodes}"
    recording, pool = folder / f"{name}.hdf5", folder / f"{name}.pool"
    shutil.rmtree(pool, ignore_errors=True)  # rows that another version read would stay beside the new ones
    with redirect_stdout(sys.stderr):  # the summaries of these two are progress here
        Simulate(out=recording, domain=domain, episodes=episodes, seed=seed, split="evaluation").run()
        Ingest(paths=(recording,), out=pool).run()
    return from_pool(domain, FramePool.open(pool).rows())


def from_pool(domain: str, rows: Iterable[FrameRow]) -> list[Case]:
    """Group the last frames of each episode; episodes in the order of the pool, frames in the order of their cameras.

    Episodes without instruction or label cannot be judged and are left out.
    """
    last: dict[str, list[FrameRow]] = {}
    for row in rows:
        if row.steps_from_end == 0 and row.instruction is not None and row.success is not None:
            last.setdefault(row.episode_id, []).append(row)
    return [
        Case(
            domain=domain,
            episode_id=episode_id,
            instruction=str(views[0].instruction),
            success=bool(views[0].success),
            frames=tuple(CameraFrame(view.camera, view.png) for view in sorted(views, key=lambda view: view.camera)),
        )
        for episode_id, views in last.items()
    ]
