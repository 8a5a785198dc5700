"""A policy that learns from verdicts alone to put the red cube on the plate, beside one that learns from the truth.

    python docs/examples/learn_from_verdicts.py                  # the embedded detector, in this process
    python docs/examples/learn_from_verdicts.py 127.0.0.1:50051  # a server

The task is simulated (extra `sim`), so the truth is known; the policy that is rewarded by verdicts never sees it. Both
start the same way: centimetres beside the cube and beside the plate. What they learn are four numbers, by the
cross-entropy method. Takes some minutes on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.detector import Detector
from robo_dialog.models import embedded_bundle
from robo_dialog.rl.asking import Ask, local, server
from robo_dialog.rl.gym import SuccessReward
from robo_episodes.sim.domains import DOMAINS, Look, sample_look
from robo_episodes.sim.policy import HOVER, possible_goals
from robo_episodes.sim.render import Camera, Image
from robo_episodes.sim.rollout import SPEED
from robo_episodes.sim.scene import HALF_HEIGHT, PLATE_HEIGHT, Scene, sample_scene
from robo_episodes.sim.state import Goal
from robo_episodes.sim.world import CLOSED, HOME, OPEN, World

GOAL = Goal("place", "red cube")
CAMERAS = ("front", "side")
STEPS = 8
"""Actions of an episode."""
Vector = NDArray[np.float64]


class Tabletop(gymnasium.Env[Vector, Vector]):
    """An action (4,) is where the finger tips go, x, y, z in metres, and how far the fingers open.

    Observations (5,): x, y, z of the cube, x, y of the plate. `reward` is the truth, at the end of an episode.
    """

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (5,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float64)
        self._world = World()
        self._camera = Camera(self._world)
        self._look: Look | None = None
        self._here = np.array(HOME)
        self._count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """A scene with a red cube that is not on the plate."""
        super().reset(seed=seed)
        scene = _scene(self.np_random)
        self._look = sample_look(DOMAINS["source"], self.np_random)
        self._world.reset(scene)
        self._camera.dress(self._look)
        self._here, self._count = self._world.gripper, 0
        return self._seen(), {}

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Go there, then wait a little."""
        goal = np.asarray(action[:3], float)
        count = max(1, int(np.ceil(np.linalg.norm(goal - self._here) / SPEED)))
        for target in (self._here + (goal - self._here) * (k + 1) / count for k in range(count)):
            self._world.step(target, float(action[3]))
        self._world.step(goal, float(action[3]), 6)
        self._here, self._count = goal, self._count + 1
        ends = self._count >= STEPS
        return self._seen(), float(ends and GOAL.reached(self._world.state())), False, ends, {}

    def views(self) -> list[Image]:
        """What the two fixed cameras see."""
        if self._look is None:
            raise RuntimeError("reset the environment first")
        return [self._camera.shoot(name, self._look, self.np_random) for name in CAMERAS]

    def _seen(self) -> Vector:
        cube = self._world.position(self._world.scene.thing(GOAL.moved))
        return np.array([*cube, *self._world.scene.plate])


def _scene(rng: np.random.Generator) -> Scene:
    while True:
        scene = sample_scene(rng, on_plate=0.0, stacked=0.0)
        if GOAL in possible_goals(scene, "place"):
            return scene


def actions(offsets: Vector, seen: Vector) -> list[Vector]:
    """Grip the cube and set it down on the plate, each beside its place by two numbers, in metres."""
    grip = np.array([seen[0] + offsets[0], seen[1] + offsets[1]])
    drop = np.array([seen[3] + offsets[2], seen[4] + offsets[3]])
    low, release = seen[2] - 0.004, PLATE_HEIGHT + HALF_HEIGHT["cube"] + 0.002
    plan = [
        (*grip, HOVER + 0.02, OPEN),
        (*grip, low, OPEN),
        (*grip, low, CLOSED),
        (*grip, HOVER, CLOSED),
        (*drop, HOVER, CLOSED),
        (*drop, release, CLOSED),
        (*drop, release, OPEN),
        (*HOME, OPEN),
    ]
    return [np.array(action) for action in plan]


def attempt(env: gymnasium.Env[Vector, Vector], offsets: Vector, seed: int) -> float:
    """The return of one episode."""
    seen, _ = env.reset(seed=seed)
    total = 0.0
    for action in actions(offsets, seen):
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    return total


@dataclass(frozen=True)
class Search:
    """The cross-entropy method: draw policies, keep the best of those that succeed at all, draw around them, closer."""

    rounds: int = 8
    policies: int = 20
    elite: int = 5
    episodes: int = 2
    """Of each policy."""
    start: tuple[float, ...] = (0.04, 0.02, 0.08, 0.05)
    spread: float = 0.03
    narrowing: float = 0.8
    """Of the spread, from one round to the next that had a success."""

    def run(self, env: gymnasium.Env[Vector, Vector], seed: int) -> Vector:
        """The offsets (4,) that it ends with."""
        rng = np.random.default_rng(seed)
        mean, spread = np.array(self.start), self.spread
        for number in range(self.rounds):
            drawn = mean + spread * rng.normal(size=(self.policies, len(mean)))
            scenes = 1000 * seed + self.episodes * number + np.arange(self.episodes)
            returns = np.array([sum(attempt(env, one, int(scene)) for scene in scenes) for one in drawn])
            best = [place for place in np.argsort(-returns)[: self.elite] if returns[place] > 0]
            if best:
                mean, spread = drawn[best].mean(0), self.narrowing * spread
            print(f"round {number}: mean return {returns.mean() / self.episodes:.2f}", file=sys.stderr)
        return mean


def success_rate(env: gymnasium.Env[Vector, Vector], offsets: Vector, episodes: int) -> float:
    """Share of unseen scenes in which the cube ends on the plate, by the simulator."""
    return float(np.mean([attempt(env, offsets, 10**6 + number) for number in range(episodes)]))


def compare(ask: Ask, search: Search, *, seed: int = 0, episodes: int = 40) -> dict[str, float]:
    """True success rates before learning, after learning from the truth, and after learning from verdicts."""
    env = Tabletop()
    judged = SuccessReward(env, ask, GOAL.text(), views=lambda _: env.views())
    return {
        "before": success_rate(env, np.array(search.start), episodes),
        "from_truth": success_rate(env, search.run(env, seed), episodes),
        "from_verdicts": success_rate(env, search.run(judged, seed), episodes),
    }


def main() -> None:
    """Learn twice and tell how well."""
    if len(sys.argv) > 1:
        with DetectorClient(sys.argv[1]) as client:
            rates = compare(server(client), Search())
    else:
        rates = compare(local(Detector.load(embedded_bundle())), Search())
    for name, rate in rates.items():
        print(f"{name}: {rate:.0%}")


if __name__ == "__main__":
    main()
