"""The simulated world: physics, success from the state, and streams of random numbers that never meet."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

pytest.importorskip("mujoco")

from robo_episodes.sim.domains import DOMAINS, sample_look
from robo_episodes.sim.episode import Split, Stream, draw
from robo_episodes.sim.policy import Attempt, plan, possible_goals
from robo_episodes.sim.render import CAMERAS
from robo_episodes.sim.rollout import moments
from robo_episodes.sim.scene import Scene, Thing, resting_height, sample_scene
from robo_episodes.sim.state import FAMILIES, Goal, State
from robo_episodes.sim.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def last_state(world: World, scene: Scene, attempt: Attempt) -> State:
    world.reset(scene)
    *_, end = moments(world, attempt, every=10**6)
    assert end.last
    return end.state


def outcomes(world: World, family: str, intent: str, count: int) -> list[bool]:
    reached = []
    for index in range(count):
        rng = np.random.default_rng([index, FAMILIES.index(family)])
        goals: list[Goal] = []
        while not goals:
            scene = sample_scene(rng, on_plate=0.7 if family == "push" else 0.2)
            goals = possible_goals(scene, family)
        goal = goals[int(rng.integers(len(goals)))]
        reached.append(goal.reached(last_state(world, scene, plan(scene, goal, rng, intent))))
    return reached


@pytest.mark.parametrize("family", FAMILIES)
def test_a_competent_attempt_mostly_succeeds(world: World, family: str) -> None:
    assert sum(outcomes(world, family, "competent", 12)) >= 10


@pytest.mark.parametrize("family", FAMILIES)
def test_a_near_miss_mostly_fails(world: World, family: str) -> None:
    assert sum(outcomes(world, family, "near_miss", 12)) <= 2


@pytest.mark.parametrize("family", FAMILIES)
def test_no_goal_is_reached_before_anything_moves(world: World, family: str) -> None:
    for index in range(10):
        start = draw(DOMAINS["source"], np.random.default_rng(index), FAMILIES.index(family))
        assert start.attempt.goal.family == family
        world.reset(start.scene)
        assert not start.attempt.goal.reached(world.state())


def test_the_state_is_read_from_contacts(world: World) -> None:
    plate = (0.08, -0.08)
    scene = Scene(
        things=(
            Thing(0, "red", (*plate, resting_height("cube", on_plate=True)), 0.0),
            Thing(2, "blue", (-0.1, -0.12, resting_height("ball")), 0.0),
        ),
        plate=plate,
        drawer=1.0,
    )
    world.reset(scene)
    state = world.state()
    assert state.on_plate == {"red cube"}
    assert state.on_table == {"blue ball"}
    assert state.held is None
    assert state.drawer_open
    assert not state.drawer_closed


def test_objects_of_a_scene_have_different_names() -> None:
    for seed in range(200):
        names = [thing.name for thing in sample_scene(np.random.default_rng(seed)).things]
        assert len(set(names)) == len(names)


def test_training_and_evaluation_never_share_an_episode() -> None:
    streams = [
        Stream(domain, split, seed).generator(index).integers(2**60)
        for domain in DOMAINS.values()
        for split in get_args(Split)
        for seed in range(3)
        for index in range(50)
    ]
    assert len(set(streams)) == len(streams)


def test_an_episode_is_a_pure_function_of_its_seed(world: World) -> None:
    ends = []
    for _ in range(2):
        start = draw(DOMAINS["target"], Stream(DOMAINS["target"], "evaluation", 3).generator(5), 5)
        world.reset(start.scene)
        ends.append([(m.state, m.gripper.tobytes()) for m in moments(world, start.attempt, every=20)])
    assert ends[0] == ends[1]


def test_target_lies_outside_source() -> None:
    source, target, far = (DOMAINS[name] for name in ("source", "target", "far"))
    patterns = [{surface.pattern for surface in domain.tables} for domain in (source, target, far)]
    assert not patterns[0] & patterns[1]
    assert not patterns[0] & patterns[2]
    assert target.azimuth[0] >= source.azimuth[1]
    assert far.azimuth[0] >= target.azimuth[1]


def test_a_look_has_a_pose_for_every_fixed_camera() -> None:
    look = sample_look(DOMAINS["source"], np.random.default_rng(0))
    assert set(look.cameras) == set(CAMERAS) - {"wrist"}
