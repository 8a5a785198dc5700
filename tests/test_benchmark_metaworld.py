"""The Meta-World benchmark: what its episodes are and what is taught about them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from types import ModuleType

import h5py
import numpy as np
import pytest

from conftest import REPOSITORY
from robo_dialog.tune.evaluation import Judged, Seen

MAKER = REPOSITORY / "benchmarks" / "makers" / "metaworld_episodes.py"
PYTHON = REPOSITORY / "runs" / "metaworld" / "venv" / "bin" / "python"
"""With Meta-World; the benchmark makes it, because no environment holds this package's MuJoCo and Meta-World's."""


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metaworld_episodes", MAKER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def benchmark(monkeypatch):
    """Modules of the benchmark by name; Meta-World itself is out of sight meanwhile."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module


def attempt(maker, places, success_from):
    """An attempt that moves a thing along x."""
    things = [np.array([x, 0.0, 0.0]) for x in places]
    return [maker.Step(np.zeros(1), number >= success_from, np.zeros(3), thing) for number, thing in enumerate(things)]


def test_a_near_miss_has_done_most_of_the_way_and_a_cut_attempt_little(maker):
    steps = attempt(maker, [*np.zeros(20), *np.linspace(0.0, 0.2, 40)], success_from=50)
    for seed in range(20):
        near, cut = (steps[at(steps, np.random.default_rng(seed))] for at in (maker.near_miss_at, maker.cut_at))
        assert not near.success
        assert not cut.success
        assert 0.6 <= maker.done_of(steps, near) <= 0.95
        assert maker.done_of(steps, cut) <= 0.35


def test_what_springs_back_is_filmed_while_it_is_done(maker):
    steps = [*attempt(maker, np.linspace(0.0, 0.1, 60), success_from=50), *attempt(maker, np.zeros(5), success_from=9)]
    assert maker.outcomes(steps, steps, np.random.default_rng(0))["success"] is steps[59]


def test_where_the_thing_hardly_moves_a_near_miss_ends_just_before_the_success(maker):
    steps = attempt(maker, np.zeros(60), success_from=50)
    assert 44 <= maker.near_miss_at(steps, np.random.default_rng(0)) < 50
    assert maker.cut_at(steps, np.random.default_rng(0)) < 30


def test_an_attempt_that_fails_is_not_cut_into_more_failures(maker):
    failed = attempt(maker, np.zeros(30), success_from=99)
    assert list(maker.outcomes(failed, failed, np.random.default_rng(0))) == ["success", "disturbed"]


def test_no_task_is_used_twice(benchmark):
    tasks = benchmark("metaworld_tasks").TASKS
    names = [task.name for some in tasks.values() for task in some]
    assert len(names) == len(set(names)) == 34


def test_only_what_the_facts_decide_is_taught(benchmark):
    lessons, tasks = benchmark("metaworld_lessons"), benchmark("metaworld_tasks")
    door = tasks.SOURCE[0]
    told = "The robot was told to open the door. Has it done so?"
    done = lessons.truths_of(door, True, {"done": 1.2, "beside": 0.01, "above": 0.05})
    assert done[told]
    assert done["Is the door open?"]
    assert not done["Is the door closed?"]
    assert lessons.caption(done) == "the door is open. the gripper is near the door. the gripper is above the door."
    almost = lessons.truths_of(door, False, {"done": 0.8, "beside": 0.01, "above": 0.05})
    assert not almost[told]
    assert "Is the door open?" not in almost


def test_a_scene_is_ranked_by_attempts_that_went_as_they_were_meant(benchmark):
    figures = benchmark("metaworld_figures")
    told = [("a", "cut", False, 0.1), ("a", "near_miss", False, 0.5), ("a", "success", True, 0.9)]
    told += [("b", "cut", False, 0.6), ("b", "near_miss", False, 0.5), ("b", "success", True, 0.9)]
    told += [("c", "cut", False, 0.1), ("c", "near_miss", True, 0.5), ("c", "success", True, 0.9)]
    episodes = [
        Judged(scene, success, "open the _", "", attempt == "near_miss", Seen(probability, 0.5))
        for scene, attempt, success, probability in told
    ]
    verdicts = figures.Verdicts(episodes, [attempt for _, attempt, _, _ in told], ["door-open"] * len(told))
    assert figures.ranked(verdicts) == {"a": True, "b": False}
    arms = dict.fromkeys(("base", "recalibrated", "improved", "supervised"), verdicts)
    found, notes = figures.figures_of(arms)
    assert (found["ranking_share"], found["gain"], found["scenes"]) == (0.5, 0.0, 3)
    assert notes.keys() <= found.keys()


@pytest.mark.skipif(not PYTHON.exists(), reason="needs Meta-World: python benchmarks/metaworld.py installs it")
def test_episodes_hold_all_cameras_instruction_label_and_how_they_were_meant(tmp_path):
    command = [str(PYTHON), str(MAKER), "drawer-open-v3", "open the drawer", "--parts", "judged=1"]
    subprocess.run([*command, "--out", str(tmp_path)], check=True, timeout=240)
    with h5py.File(tmp_path / "judged" / "drawer-open-v3.hdf5") as file:
        demos = {json.loads(demo.attrs["ep_meta"])["attempt"]: demo for demo in file["data"].values()}
        labels = {name: bool(demo.attrs["success"]) for name, demo in demos.items()}
        assert {name: labels[name] for name in ("success", "near_miss", "cut")} == {
            "success": True,
            "near_miss": False,
            "cut": False,
        }
        assert {json.loads(demo.attrs["ep_meta"])["lang"] for demo in demos.values()} == {"open the drawer"}
        cameras = set(demos["success"]["next_obs"])
        assert cameras == {"corner_image", "corner3_image", "topview_image"}
        for camera in cameras:
            ends = [demos[name][f"next_obs/{camera}"][0] for name in ("success", "near_miss", "cut")]
            assert ends[0].shape == (96, 96, 3)
            assert ends[0].std() > 10
            assert not (ends[0] == ends[2]).all()
