"""Runs one attempt in the world and records what happened, step by step; images are taken by the caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_episodes.sim.policy import Attempt
from robo_episodes.sim.state import State
from robo_episodes.sim.world import World

SPEED = 0.022
"""Metres that the set point moves in one control step (48 ms)."""


@dataclass(frozen=True)
class Moment:
    """The world after some control steps: its facts, the gripper (3,) in metres and the command (4,) that led there.

    `last` marks the end of the attempt.
    """

    state: State
    gripper: npt.NDArray[np.float64]
    action: npt.NDArray[np.float64]
    last: bool = False


def moments(world: World, attempt: Attempt, *, every: int) -> Iterator[Moment]:
    """Carry out `attempt`, yielding the start, then every `every` control steps, and always the end.

    The world stands still while the caller handles a yielded moment, so that frames can be rendered.
    """
    here, fingers = world.gripper, attempt.waypoints[0].fingers
    yield Moment(world.state(), here, np.array([*here, fingers]))
    count = 0
    for point in attempt.waypoints:
        goal = np.array(point.target)
        steps = int(np.ceil(np.linalg.norm(goal - here) / SPEED))
        path = [here + (goal - here) * (i + 1) / steps for i in range(steps)] + [goal] * point.pause
        for target in path:
            world.step(target, point.fingers)
            count += 1
            if count % every == 0:
                yield Moment(world.state(), world.gripper, np.array([*target, point.fingers]))
        here, fingers = goal, point.fingers
    world.step(here, fingers, 6)
    yield Moment(world.state(), world.gripper, np.array([*here, fingers]), last=True)
