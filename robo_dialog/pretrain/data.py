"""Training frames of `tiny`: simulated `source` episodes, in shards that any number of processes can make."""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robo_dialog.pretrain.dense import place_classes, thing_classes
from robo_episodes.sim.command import FRAME_EVERY
from robo_episodes.sim.domains import DOMAINS
from robo_episodes.sim.episode import Stream, draw
from robo_episodes.sim.record import facts, state_from_facts
from robo_episodes.sim.render import Camera
from robo_episodes.sim.rollout import moments
from robo_episodes.sim.state import Goal, State
from robo_episodes.sim.world import World

SHARD_EPISODES = 250
MIDWAY_SHARE = 0.15
"""Probability of keeping a frame that is not the last one of its episode."""
WRIST_SHARE = 0.3


@dataclass(frozen=True)
class Frames:
    """Training frames in memory, aligned by row.

    images: (N, 96, 96, 3) uint8 RGB; things, places: (N, GRID, GRID) uint8 dense classes; states, goals: length N;
    cameras: (N,) of names; episodes: (N,) int64.
    """

    images: npt.NDArray[np.uint8]
    things: npt.NDArray[np.uint8]
    places: npt.NDArray[np.uint8]
    states: list[State]
    goals: list[Goal]
    cameras: npt.NDArray[np.str_]
    episodes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


def make_shards(folder: Path, *, episodes: int, seed: int, workers: int) -> Iterator[Path]:
    """Simulate `episodes` training episodes into `folder`; shards that exist are kept. Yields finished shards."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.npz" for number in range(shard_count(episodes))]
    todo = [(path, seed, number) for number, path in enumerate(paths) if not path.exists()]
    yield from (path for path in paths if path.exists())
    if workers == 1:
        yield from map(_make_shard, todo)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_make_shard, todo)


def shard_count(episodes: int) -> int:
    """Shards that hold at least so many episodes; the last one is made whole."""
    return -(-episodes // SHARD_EPISODES)


def load(folder: Path) -> Frames:
    """Read all shards of `folder`, in order."""
    shards = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    rows = [json.loads(line) for shard in shards for line in str(shard["rows"]).splitlines()]
    things = np.concatenate([shard["things"] for shard in shards])
    states = [state_from_facts(row["facts"]) for row in rows]
    return Frames(
        images=np.concatenate([shard["images"] for shard in shards]),
        things=things,
        places=np.stack([place_classes(grid, state) for grid, state in zip(things, states, strict=True)]),
        states=states,
        goals=[Goal(*row["goal"]) for row in rows],
        cameras=np.array([row["camera"] for row in rows]),
        episodes=np.array([row["episode"] for row in rows]),
    )


def _make_shard(job: tuple[Path, int, int]) -> Path:
    path, seed, number = job
    world, stream = World(), Stream(DOMAINS["source"], "train", seed)
    camera = Camera(world)
    images, things, rows = [], [], []
    for index in range(number * SHARD_EPISODES, (number + 1) * SHARD_EPISODES):
        rng = stream.generator(index)
        start = draw(stream.domain, rng, index)
        world.reset(start.scene)
        camera.dress(start.look)
        goal = start.attempt.goal
        for moment in moments(world, start.attempt, every=FRAME_EVERY):
            if not moment.last and rng.random() > MIDWAY_SHARE:
                continue
            for name in ("front", "side", "wrist") if rng.random() < WRIST_SHARE else ("front", "side"):
                images.append(camera.shoot(name, start.look, rng))
                things.append(thing_classes(camera.classes(name), start.scene))
                row = {"facts": facts(moment.state), "goal": [goal.family, goal.moved, goal.below]}
                rows.append(json.dumps({**row, "camera": name, "episode": index}))
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack(images), things=np.stack(things), rows=np.array("\n".join(rows)))
    part = path.with_suffix(".part")
    part.write_bytes(buffer.getvalue())
    part.replace(path)
    return path
