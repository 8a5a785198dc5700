"""One simulated episode, a pure function of (domain, split, seed, index): scene, look, attempt and frames."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robo_episodes.sim.command import FRAME_EVERY
from robo_episodes.sim.domains import Domain, Look, sample_look
from robo_episodes.sim.policy import Attempt, plan, possible_goals
from robo_episodes.sim.render import CAMERAS, Camera, Image
from robo_episodes.sim.rollout import Moment, moments
from robo_episodes.sim.scene import Scene, sample_scene
from robo_episodes.sim.state import FAMILIES, State
from robo_episodes.sim.world import World

Split = Literal["train", "evaluation"]


@dataclass(frozen=True)
class Start:
    """What is drawn before anything moves."""

    scene: Scene
    attempt: Attempt
    look: Look


@dataclass(frozen=True)
class SimulatedEpisode:
    """A finished attempt: T+1 moments and, for each camera, T+1 RGB frames (SIZE, SIZE, 3)."""

    start: Start
    moments: Sequence[Moment]
    frames: Mapping[str, Sequence[Image]]

    @property
    def final(self) -> State:
        """Facts at the end."""
        return self.moments[-1].state

    @property
    def success(self) -> bool:
        """Whether the instruction is fulfilled at the end, by the simulator's state."""
        return self.start.attempt.goal.reached(self.final)


@dataclass(frozen=True)
class Stream:
    """An endless series of episodes. Streams of other domains, splits or seeds share none with it."""

    domain: Domain
    split: Split
    seed: int

    def generator(self, index: int) -> np.random.Generator:
        """The random numbers of episode `index`."""
        key = zlib.crc32(f"{self.domain.name}/{self.split}".encode())
        return np.random.default_rng(np.random.SeedSequence([key, self.seed, index]))


def draw(domain: Domain, rng: np.random.Generator, index: int) -> Start:
    """Scene, attempt and look of episode `index`; instruction families take turns, scenes are drawn to fit."""
    family = FAMILIES[index % len(FAMILIES)]
    for _ in range(100):
        scene = sample_scene(rng, on_plate=0.7 if family == "push" else 0.2)
        goals = possible_goals(scene, family)
        if goals:
            break
    else:
        raise RuntimeError(f"no scene in 100 allows an instruction of the family {family!r}")
    goal = goals[int(rng.integers(len(goals)))]
    return Start(scene, plan(scene, goal, rng), sample_look(domain, rng))


def simulate(world: World, camera: Camera, stream: Stream, index: int, *, every: int = FRAME_EVERY) -> SimulatedEpisode:
    """Run and film one episode with every camera, a moment each `every` control steps, the start and the end."""
    rng = stream.generator(index)
    start = draw(stream.domain, rng, index)
    world.reset(start.scene)
    camera.dress(start.look)
    seen: list[Moment] = []
    frames: dict[str, list[Image]] = {name: [] for name in CAMERAS}
    for moment in moments(world, start.attempt, every=every):
        seen.append(moment)
        for name in CAMERAS:
            frames[name].append(camera.shoot(name, start.look, rng))
    return SimulatedEpisode(start, seen, frames)
