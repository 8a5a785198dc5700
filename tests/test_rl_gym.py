"""Gymnasium environments rewarded by verdicts, of a real server and of a detector in this process."""

from __future__ import annotations

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402

import bundles  # noqa: E402
from lamp_env import Lamp  # noqa: E402
from robo_dialog.detect import Detector  # noqa: E402
from robo_dialog.detect.client import DeadlineMissedError, DetectorClient, DetectorUnavailableError  # noqa: E402
from robo_dialog.detect.verdict import Outcome  # noqa: E402
from robo_dialog.errors import ConfigError  # noqa: E402
from robo_dialog.rl.asking import local, server  # noqa: E402
from robo_dialog.rl.gym import SuccessReward, VectorSuccessReward  # noqa: E402
from robo_dialog.rl.watch import Rule  # noqa: E402
from server_fakes import serving  # noqa: E402


@pytest.fixture
def ask(tmp_path):
    """Bright is a success."""
    return local(Detector.load(bundles.write(tmp_path / "bundle"), threads=1))


def played(env, levels):
    """Rewards and terminations of an episode."""
    env.reset(seed=0)
    told = [env.step(np.array([level], np.float32)) for level in levels]
    return [one[1] for one in told], [one[2] for one in told]


def test_a_bright_scene_ends_the_episode_with_a_reward(ask):
    env = SuccessReward(Lamp(), ask, "lift it", rule=Rule(every=1, looks=2, reward=3.0))
    assert played(env, [10, 250, 250]) == ([0.0, 0.0, 3.0], [False, False, True])


def test_by_default_the_end_alone_is_looked_at(ask):
    assert played(SuccessReward(Lamp(), ask, "lift it"), [250] * 5) == ([0, 0, 0, 0, 1], [False] * 4 + [True])


def test_a_scene_that_looks_done_at_the_start_is_not_rewarded(ask):
    env = SuccessReward(Lamp(start=250), ask, "lift it", rule=Rule(every=1))
    assert played(env, [250, 250])[0] == [0, 0]
    assert played(env, [10, 250])[0] == [0, 1]


def test_the_environments_own_reward_is_kept_apart(ask):
    env = SuccessReward(Lamp(), ask, "lift it", rule=Rule(every=1))
    env.reset()
    _, reward, _, _, info = env.step(np.array([250.0], np.float32))
    assert (reward, info["env_reward"], info["is_success"], info["outcome"]) == (1, -7.0, True, Outcome.SUCCESS)


def test_views_of_several_cameras_are_asked_about_together(ask):
    seen = []
    views = [bundles.png(bundles.grey(250)), bundles.grey(250)]
    env = SuccessReward(Lamp(), lambda requests: seen.extend(requests) or ask(requests), "go", views=lambda _: views)
    env.reset()
    assert [len(request.frames) for request in seen] == [2]


def vector(ask, starts=(0, 0, 250), **how):
    envs = SyncVectorEnv([lambda s=s: Lamp(s) for s in starts], autoreset_mode=AutoresetMode.DISABLED)
    return VectorSuccessReward(envs, ask, "lift it", rule=Rule(every=1), **how)


def test_all_environments_are_asked_about_at_once_and_reset_one_by_one(ask):
    asked = []
    envs = vector(lambda requests: asked.append(len(requests)) or ask(requests))
    envs.reset(seed=0)
    _, rewards, ended, truncated, infos = envs.step(np.array([[250], [10], [250]], np.float32))
    assert (rewards.tolist(), ended.tolist()) == ([1, 0, 0], [True, False, False])
    assert infos["outcome"] == [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS]
    envs.reset(options={"reset_mask": ended | truncated})
    _, rewards, *_ = envs.step(np.array([[10], [250], [250]], np.float32))
    assert rewards.tolist() == [0, 1, 0]
    assert asked == [3, 3, 1, 3]


def test_environments_that_reset_themselves_are_refused(ask):
    with pytest.raises(ConfigError, match=r"AutoresetMode\.DISABLED"):
        VectorSuccessReward(SyncVectorEnv([Lamp]), ask, "lift it")


def test_as_many_instructions_as_environments_are_needed(ask):
    envs = SyncVectorEnv([Lamp, Lamp], autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ConfigError, match="3 instructions for 2"):
        VectorSuccessReward(envs, ask, ["a", "b", "c"])


def test_an_environment_without_images_is_told_how_to_give_some(ask):
    with pytest.raises(ConfigError, match="render_mode='rgb_array'"):
        SuccessReward(Lamp(render_mode="human"), ask, "lift it").reset()


def test_a_server_is_asked_about_all_environments_in_one_round():
    with serving() as served, DetectorClient(served.address, timeout_s=20) as client:
        envs = vector(server(client))
        envs.reset(seed=0)
        _, rewards, *_ = envs.step(np.array([[250], [10], [250]], np.float32))
    assert rewards.tolist() == [1, 0, 0]


class Late:
    """A client that answers with an error."""

    def __init__(self, error):
        self._error = error

    def is_success_all(self, requests):
        return [self._error for _ in requests]


def test_a_look_without_an_answer_in_time_is_left_out():
    assert server(Late(DeadlineMissedError("too late")))([None]) == [None]


def test_a_server_that_is_gone_is_an_error():
    with pytest.raises(DetectorUnavailableError):
        server(Late(DetectorUnavailableError("nobody there")))([None])
