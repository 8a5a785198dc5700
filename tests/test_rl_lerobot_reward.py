"""The LeRobot reward model, against the interface of lerobot where lerobot itself is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_dialog.errors import ConfigError, DetectorError
from server_fakes import serving

PACKAGE = "robo_dialog.rl.lerobot_reward"


class RewardModelConfig:
    """As lerobot.configs.rewards has it, as far as plug-ins touch it."""

    known: dict[str, type] = {}  # noqa: RUF012

    @classmethod
    def register_subclass(cls, name):
        return lambda config: cls.known.setdefault(name, config)

    def _save_pretrained(self, folder):
        content = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        (Path(folder) / "config.json").write_text(json.dumps(content))

    @classmethod
    def from_pretrained(cls, path, **loading):
        return cls.known["robo_dialog"](**json.loads((Path(path) / "config.json").read_text()))


class PreTrainedRewardModel(torch.nn.Module):
    """As lerobot.rewards.pretrained has it."""

    def __init__(self, config):
        super().__init__()


def stand_ins() -> dict[str, types.ModuleType]:
    contents = {
        "lerobot": {},
        "lerobot.configs": {},
        "lerobot.configs.rewards": {"RewardModelConfig": RewardModelConfig},
        "lerobot.rewards": {},
        "lerobot.rewards.pretrained": {"PreTrainedRewardModel": PreTrainedRewardModel},
        "lerobot.processor": {
            "EnvTransition": dict,
            "PolicyProcessorPipeline": lambda steps: tuple(steps),
            "ProcessorStep": object,
            "ProcessorStepRegistry": types.SimpleNamespace(register=lambda name: lambda step: step),
            "TransitionKey": types.SimpleNamespace(),
        },
    }
    modules = {name: types.ModuleType(name) for name in contents}
    for name, module in modules.items():
        vars(module).update(contents[name])
    return modules


@pytest.fixture(scope="module")
def plugin():
    """The modules by the names that LeRobot makes of the configuration's."""
    with pytest.MonkeyPatch.context() as patched:
        if importlib.util.find_spec("lerobot") is None:
            for name, module in stand_ins().items():
                patched.setitem(sys.modules, name, module)
        configuration = importlib.import_module(PACKAGE).RoboDialogConfig
        place = configuration.__module__
        found = {
            kind: importlib.import_module(place.replace("configuration_", f"{kind}_"))
            for kind in ("modeling", "processor")
        }
        model = getattr(found["modeling"], configuration.__name__.removesuffix("Config") + "RewardModel")
        pipelines = found["processor"].make_robo_dialog_pre_post_processors
        yield types.SimpleNamespace(config=configuration, model=model, pipelines=pipelines)
        for name in [name for name in sys.modules if name.startswith((PACKAGE, "robo_dialog.rl.lerobot"))]:
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def address():
    with serving() as served:
        yield served.address


def images(*levels) -> torch.Tensor:
    return torch.stack([torch.full((3, 32, 32), level / 255) for level in levels])


def test_every_moment_of_a_batch_gets_its_reward(plugin, address):
    model = plugin.model(plugin.config(address=address))
    rewards = model.compute_reward({"observation.images.front": images(255, 0, 255), "task": ["lift it"] * 3})
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == [1, 0, 1]


def test_the_last_step_of_a_video_counts_and_one_task_is_for_all(plugin, address):
    model = plugin.model(plugin.config(address=address, reward_output="probability"))
    videos = torch.stack([images(255, 0), images(0, 255)])
    padding = {"observation.images.front_is_pad": torch.zeros(2, 2, dtype=torch.bool)}
    batch = {"observation.images.front": videos, **padding, "task": "lift it"}
    low, high = model.compute_reward(batch).tolist()
    assert low < 0.01
    assert high > 0.99


def test_what_cannot_be_judged_is_refused_in_words(plugin, address):
    model = plugin.model(plugin.config(address=address))
    with pytest.raises(ConfigError, match="has no image"):
        model.compute_reward({"observation.state": np.zeros((1, 6)), "task": "lift it"})
    with pytest.raises(ConfigError, match="default_task"):
        model.compute_reward({"observation.images.front": images(0)})


def test_no_verdict_is_no_reward_but_an_error(plugin):
    model = plugin.model(plugin.config(address="127.0.0.1:1", timeout_s=0.2))
    with pytest.raises(DetectorError, match=r"127\.0\.0\.1:1"):
        model.compute_reward({"observation.images.front": images(0), "task": "lift it"})


def test_a_checkpoint_is_the_configuration_alone(plugin, tmp_path):
    plugin.model(plugin.config(address="robot:1", default_task="lift it"))._save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    again = plugin.model.from_pretrained(tmp_path)
    assert (again.config.address, again.config.default_task) == ("robot:1", "lift it")


def test_batches_pass_as_they_are(plugin):
    assert plugin.pipelines(plugin.config()) == ((), ())
