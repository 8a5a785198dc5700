"""The examples run: learning from verdicts with few episodes, the ROS 2 node against a stand-in for rclpy."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import REPOSITORY
from robo_dialog.detect.verdict import Outcome
from server_fakes import jpeg, serving

EXAMPLES = REPOSITORY / "docs" / "examples"
PAGE = (REPOSITORY / "docs" / "learning.md").read_text(encoding="utf-8")


def loaded(name, patched):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    patched.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def learning(monkeypatch):
    pytest.importorskip("gymnasium")
    pytest.importorskip("mujoco")
    return loaded("learn_from_verdicts", monkeypatch)


def test_the_task_can_be_done_and_is_not_done_by_chance(learning):
    env = learning.Tabletop()
    assert learning.success_rate(env, np.zeros(4), 5) >= 0.8
    assert learning.success_rate(env, np.array([0.2, 0.2, 0.2, 0.2]), 3) == 0


def test_both_ways_of_learning_see_the_same_episodes_and_only_one_sees_the_truth(learning):
    asked = []

    def ask(requests):
        asked.extend(requests)
        return [Outcome.FAILURE for _ in requests]

    rates = learning.compare(ask, learning.Search(rounds=1, policies=3, elite=1, episodes=1), episodes=2)
    assert set(rates) == {"before", "from_truth", "from_verdicts"}
    assert len(asked) == 2 * 3
    assert {request.instruction for request in asked} == {"put the red cube on the plate"}
    assert all(len(request.frames) == 2 for request in asked)
    assert rates["from_verdicts"] == rates["before"], "a detector that never says yes teaches nothing"


def test_the_code_of_the_page_rewards_an_environment():
    pytest.importorskip("gymnasium")
    from lamp_env import Lamp

    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    with serving() as served:
        names = {"env": Lamp()}
        exec(code.replace("127.0.0.1:50051", served.address), names)  # noqa: S102 - our own page
        names["env"].reset(seed=0)
        rewards = [names["env"].step(np.array([250.0]))[1] for _ in range(5)]
        names["client"].close()
    assert rewards == [0, 0, 0, 0, 0], "two looks are wanted, and five steps end before the second"


def test_the_figures_of_the_page_are_the_measured_ones():
    path = REPOSITORY / "benchmarks" / "results" / "ecosystem.json"
    found = json.loads(path.read_text(encoding="utf-8"))["figures"]
    told = re.search(
        r"before learning (\d+) %.*?verdicts (\d+) %.*?truth (\d+) %.*?ratio of ([\d.]+)\.", PAGE, re.DOTALL
    )
    rates = [f"{100 * found[f'reward_return_{name}']:.0f}" for name in ("before", "verdicts", "truth")]
    assert list(told.groups()) == [*rates, f"{found['reward_return_ratio']:.2f}"]
    assert found["reward_return_ratio"] >= 0.8


class Node:
    """What the example uses of rclpy's."""

    parameters: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, name):
        self.name, self.subscriptions_, self.services_ = name, {}, {}

    def declare_parameter(self, name, default):
        return SimpleNamespace(value=self.parameters.get(name, default))

    def create_subscription(self, kind, topic, callback, qos):
        self.subscriptions_[topic] = callback

    def create_service(self, kind, name, callback):
        self.services_[name] = callback


@pytest.fixture
def ros(monkeypatch):
    contents = {
        "rclpy": {"init": None, "spin": None},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": 10},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"CompressedImage": SimpleNamespace},
        "std_srvs": {},
        "std_srvs.srv": {"Trigger": SimpleNamespace(Request=SimpleNamespace, Response=SimpleNamespace)},
    }
    for name, attributes in contents.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return loaded("ros2_success_node", monkeypatch)


def asked(node):
    return node.services_["~/is_success"](None, SimpleNamespace(success=None, message=""))


def test_the_ros_node_answers_with_the_verdict_on_its_newest_images(ros, monkeypatch):
    cameras = ["/front/image/compressed", "/side/image/compressed"]
    with serving() as served:
        told = {"address": served.address, "instruction": "lift it", "cameras": cameras}
        monkeypatch.setattr(Node, "parameters", told)
        node = ros.SuccessNode()
        assert asked(node).message.startswith("no image yet")
        for topic in cameras:
            node.subscriptions_[topic](SimpleNamespace(data=jpeg(0)))
            node.subscriptions_[topic](SimpleNamespace(data=jpeg(255)))
        answer = asked(node)
    assert (answer.success, answer.message) == (True, "SUCCESS 1.000")


def test_the_ros_node_says_why_there_is_no_verdict(ros, monkeypatch):
    monkeypatch.setattr(Node, "parameters", {"address": "127.0.0.1:1", "instruction": "lift it"})
    node = ros.SuccessNode()
    node.subscriptions_["/camera/image/compressed"](SimpleNamespace(data=jpeg()))
    answer = asked(node)
    assert not answer.success
    assert answer.message.startswith("no verdict: 127.0.0.1:1")
