"""The LeRobot processor step, against the interface of lerobot where lerobot itself is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from enum import StrEnum

import numpy as np
import pytest

import bundles
from robo_dialog.detect import Detector
from robo_dialog.errors import ConfigError
from robo_dialog.rl.asking import local


class TransitionKey(StrEnum):
    """As lerobot.processor has it."""

    OBSERVATION = "observation"
    ACTION = "action"
    REWARD = "reward"
    DONE = "done"
    TRUNCATED = "truncated"
    INFO = "info"
    COMPLEMENTARY_DATA = "complementary_data"


class Registry:
    known: dict[str, type] = {}  # noqa: RUF012

    @classmethod
    def register(cls, name):
        return lambda step: cls.known.setdefault(name, step)


@pytest.fixture(scope="module")
def module():
    if importlib.util.find_spec("lerobot") is not None:
        yield importlib.import_module("robo_dialog.rl.lerobot")
        return
    processor = types.ModuleType("lerobot.processor")
    processor.EnvTransition = dict
    processor.ProcessorStep = type("ProcessorStep", (), {})
    processor.ProcessorStepRegistry = Registry
    processor.TransitionKey = TransitionKey
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "lerobot", types.ModuleType("lerobot"))
        patched.setitem(sys.modules, "lerobot.processor", processor)
        yield importlib.import_module("robo_dialog.rl.lerobot")
        sys.modules.pop("robo_dialog.rl.lerobot")


@pytest.fixture
def made(module, tmp_path):
    """Makes a step that finds bright scenes successful."""
    ask = local(Detector.load(bundles.write(tmp_path / "bundle"), threads=1))
    return lambda **how: module.SuccessRewardStep(ask=ask, **{"instruction": "lift it", **how})


def transition(level, **fields):
    image = np.full((1, 3, 32, 32), level / 255, np.float32)
    key = TransitionKey
    return {
        key.OBSERVATION: {"observation.images.front": image, "observation.state": np.zeros((1, 6))},
        key.REWARD: 0.0,
        key.DONE: False,
        key.TRUNCATED: False,
        key.INFO: {},
        key.COMPLEMENTARY_DATA: {},
        **fields,
    }


def test_success_is_rewarded_and_ends_the_episode(made):
    step = made(reward=5.0)
    told = [step(transition(level)) for level in (10, 10, 250)]
    assert [one[TransitionKey.REWARD] for one in told] == [0, 0, 5.0]
    assert [one[TransitionKey.DONE] for one in told] == [False, False, True]
    assert told[-1][TransitionKey.INFO] == {"success_outcome": "SUCCESS", "is_success": True}


def test_a_transition_is_not_changed_in_place(made):
    step, given = made(), transition(250)
    step(transition(10))
    step(given)
    assert given[TransitionKey.REWARD] == 0.0
    assert given[TransitionKey.INFO] == {}


def test_an_episode_that_begins_done_is_not_rewarded_until_reset(made):
    step = made()
    assert [step(transition(250))[TransitionKey.REWARD] for _ in range(3)] == [0, 0, 0]
    step.reset()
    assert [step(transition(level))[TransitionKey.REWARD] for level in (10, 250)] == [0, 1]


def test_the_end_of_an_episode_is_looked_at_whatever_the_interval(made):
    step = made(every=None)
    assert step(transition(10))[TransitionKey.REWARD] == 0
    assert step(transition(250))[TransitionKey.REWARD] == 0
    assert step(transition(250, **{TransitionKey.TRUNCATED: True}))[TransitionKey.REWARD] == 1


def test_tensors_of_bytes_and_of_numbers_are_the_same_image(module):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 9), dtype=np.uint8)
    expected = image.transpose(1, 2, 0)
    for given in (image, torch.tensor(image), torch.tensor(image / 255.0)[None].float()):
        np.testing.assert_array_equal(module.pixels(given, "observation.images.front"), expected)
    with pytest.raises(ConfigError, match=r"front: has the shape \[2, 3, 8, 9\]"):
        module.pixels(np.zeros((2, 3, 8, 9)), "front")


def test_the_task_of_a_transition_is_the_instruction(module):
    asked = []
    step = module.SuccessRewardStep(ask=lambda requests: asked.extend(requests) or [None], instruction="lift it")
    step(transition(10, **{TransitionKey.COMPLEMENTARY_DATA: {"task": ["open the drawer"]}}))
    assert asked[0].instruction == "open the drawer"
    assert asked[0].frames[0].camera == "front"


def test_without_an_image_or_an_instruction_there_is_a_clear_error(made):
    with pytest.raises(ConfigError, match="0 images"):
        made()({**transition(10), TransitionKey.OBSERVATION: {}})
    with pytest.raises(ConfigError, match="instruction ''"):
        made(instruction="")(transition(10))


def test_a_saved_pipeline_can_make_the_step_again(module):
    step = module.SuccessRewardStep(address="robot:1", instruction="lift it", every=10, looks=2)
    again = module.SuccessRewardStep(**step.get_config())
    assert again.get_config() == step.get_config()
    assert again.transform_features({"a": 1}) == {"a": 1}
