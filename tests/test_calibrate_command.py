"""`robo-dialog calibrate` with and without labels: what it writes, what it refuses, and what it cannot see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bundles
from labelled_pools import Attempt, drawn, write_pool
from robo_dialog.detect import Detector
from robo_dialog.detect.calibration import Calibration, parse_calibration
from robo_dialog.errors import BundleError, ConfigError, PoolError
from robo_dialog.play.frames import FrameStore
from robo_dialog.tune.calibrate_command import Calibrate
from robo_dialog.tune.evaluate_command import Evaluate
from robo_dialog.tune.subjects import JudgeChoice
from robo_episodes.episode import Trust
from robo_episodes.pool import FramePool
from test_repo_imports import MODULES, imported_by, reachable


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("calibrate") / "bundle")


def attempts(count: int = 200, **changed: object) -> list[Attempt]:
    """Of another lab: all margins four too low."""
    return drawn(count, **{"shift": -4.0, "spread": 1.5, **changed})


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("calibrate") / "pool", attempts())


def calibrated(capsys: pytest.CaptureFixture[str], pool: Path, out: Path, bundle: Path, **changed: object) -> dict:
    assert Calibrate((pool,), out, judge=JudgeChoice(bundle=bundle), json=True, **changed).run() == 0
    return json.loads(capsys.readouterr().out)


def balanced_accuracy(capsys: pytest.CaptureFixture[str], pool: Path, bundle: Path) -> dict:
    assert Evaluate((pool,), judge=JudgeChoice(bundle=bundle), json=True, draws=20).run() == 0
    return json.loads(capsys.readouterr().out)


def test_without_labels_a_bundle_is_written_that_undoes_the_shift(pool, bundle, tmp_path, capsys):
    found = calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True)
    assert found["labels"] is False
    assert found["families"]["lift it"]["offset"] == pytest.approx(-4, abs=1)
    assert found["yes_share_before"] < 0.3 < found["yes_share"]
    new = Detector.load(tmp_path / "out" / "bundle")
    assert new.digest == found["digest"] != Detector.load(bundle).digest
    assert new.calibration == parse_calibration((tmp_path / "out" / "calibration.json").read_bytes())
    assert new.calibration.method == found["method"]
    assert found["method"].startswith("no label was used")
    assert found["method"] in (tmp_path / "out" / "bundle" / "MODEL_CARD.md").read_text()
    fresh = write_pool(tmp_path / "fresh", attempts(seed=5))
    before, after = (balanced_accuracy(capsys, fresh, one) for one in (bundle, tmp_path / "out" / "bundle"))
    assert after["balanced_accuracy"] > before["balanced_accuracy"] + 0.15
    assert json.loads((tmp_path / "out" / "calibrate.json").read_text()) == found


def without_labels(attempts: list[Attempt], how: str) -> list[Attempt]:
    changes = {
        "none": lambda one: replace(one, success=None, trust=Trust.NONE),
        "turned around": lambda one: replace(one, success=not one.success),
        "elsewhere": lambda one: replace(one, source=f"/{one.success}/day.hdf5#x", metadata={"attempt": "near_miss"}),
    }
    return [changes[how](one) for one in attempts]


@pytest.mark.parametrize("how", ["none", "turned around", "elsewhere"])
def test_labels_cannot_be_seen_without_labels(pool, bundle, tmp_path, capsys, how):
    """Whatever the labels are, or if there are none, the very same bundle comes out."""
    other = write_pool(tmp_path / "pool", without_labels(attempts(), how))
    for place, episodes in (("a", pool), ("b", other)):
        calibrated(capsys, episodes, tmp_path / place, bundle, without_labels=True)
    for file in ("calibration.json", "bundle/manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_nothing_that_calibrates_without_labels_imports_what_reads_them():
    seen = reachable({"robo_dialog.tune.unlabelled", "robo_dialog.tune.passes"})
    assert "robo_dialog.tune.agreement" in seen
    assert not {"robo_dialog.tune.labels", "robo_dialog.tune.judged", "robo_dialog.tune.labelled"} & seen
    assert not any(name in MODULES["robo_dialog.tune.unlabelled"].read_text() for name in (".episodes(", "success"))


def test_labels_are_read_in_one_module():
    """`pool.episodes()`, `pool.rows()` and the columns of the table are the ways to them."""
    modules = [name for name in MODULES if name.startswith("robo_dialog.")]
    readers = {
        name
        for name in modules
        if {"robo_episodes.pool_metadata", "robo_episodes.episode.Trust"} & imported_by(name)
        or ".episodes()" in MODULES[name].read_text()
    }
    assert {name for name in readers if name.startswith("robo_dialog.tune")} == {"robo_dialog.tune.labels"}


def test_with_labels_thresholds_and_a_band_are_fitted(pool, bundle, tmp_path, capsys):
    found = calibrated(capsys, pool, tmp_path / "out", bundle)
    assert (found["labels"], found["episodes"]) == (True, 200)
    assert "split conformal prediction on 100 others, so that at most 5%" in found["method"]
    fresh = balanced_accuracy(
        capsys, write_pool(tmp_path / "fresh", attempts(400, seed=6)), tmp_path / "out" / "bundle"
    )
    assert fresh["balanced_accuracy"] > 0.95
    assert fresh["ece"] < 0.06


def test_each_class_is_seldom_called_the_other_in_new_episodes(bundle, tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", attempts(400, spread=5.0))
    calibrated(capsys, pool, tmp_path / "out", bundle, alpha=0.1)
    detector, fresh = Detector.load(tmp_path / "out" / "bundle"), attempts(400, spread=5.0, seed=7)
    said: dict[bool, list[str]] = {True: [], False: []}
    for one in fresh:
        frames = [bundles.grey(level) for level in one.levels.values()]
        said[one.success].append(detector.verdict(frames, "lift it").outcome)
    assert np.mean([outcome == "FAILURE" for outcome in said[True]]) < 0.15
    assert np.mean([outcome == "SUCCESS" for outcome in said[False]]) < 0.15
    assert 0.05 < np.mean([outcome == "UNCERTAIN" for outcome in said[True] + said[False]]) < 0.7


def test_a_chosen_precision_is_kept_on_new_episodes(bundle, tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", attempts(600, spread=4.0))
    found = calibrated(capsys, pool, tmp_path / "out", bundle, precision=0.9)
    assert "precision of 0.9 at 90% confidence each, on 200 others" in found["method"]
    detector = Detector.load(tmp_path / "out" / "bundle")
    called = [
        one.success
        for one in attempts(500, spread=4.0, seed=8)
        if detector.verdict([bundles.grey(level) for level in one.levels.values()], "lift it").outcome == "SUCCESS"
    ]
    assert len(called) > 50
    assert np.mean(called) > 0.88


def test_families_with_enough_episodes_get_thresholds_of_their_own(bundle, tmp_path, capsys):
    things = ("cube", "ball")
    lift = [replace(one, instruction=f"lift the {things[k % 2]}") for k, one in enumerate(attempts(200))]
    push = [
        replace(one, instruction=f"push the {things[k % 2]}") for k, one in enumerate(attempts(200, seed=1, shift=3.0))
    ]
    rare = attempts(20, seed=2, instruction="open it")
    pool = write_pool(tmp_path / "pool", [*lift, *push, *rare])
    calibrated(capsys, pool, tmp_path / "out", bundle)
    calibration = Detector.load(tmp_path / "out" / "bundle").calibration
    assert set(calibration.task_thresholds) == {"lift the _", "push the _"}
    assert calibration.threshold_for("lift the box") < calibration.threshold_for("push the box")
    assert calibration.threshold_for("open it") == calibration.threshold


def test_a_calibration_without_labels_can_be_refined_with_a_few(pool, bundle, tmp_path, capsys):
    calibrated(capsys, pool, tmp_path / "first", bundle, without_labels=True)
    few = write_pool(tmp_path / "few", attempts(50, seed=9))
    calibrated(capsys, few, tmp_path / "second", tmp_path / "first" / "bundle")
    first, second = (Detector.load(tmp_path / name / "bundle").calibration for name in ("first", "second"))
    assert second.tasks == first.tasks
    assert second.temperatures != first.temperatures


def test_a_model_gets_a_calibration_file_and_no_bundle(pool, tmp_path, capsys, monkeypatch):
    from robo_dialog.vlm.choice import ModelChoice
    from robo_dialog.vlm.scripted import ScriptedVLM

    def answer(prompt, options):
        margin = float(prompt[0].images[0].mean()) * 20 / 255 - 10
        return [1.0, float(np.exp(margin))]

    monkeypatch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(answer, lambda *_: ""))
    assert (
        Calibrate((pool,), tmp_path / "out", judge=JudgeChoice(model="any"), without_labels=True, json=True).run() == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["bundle"], found["digest"]) == (None, None)
    calibration = parse_calibration((tmp_path / "out" / "calibration.json").read_bytes())
    assert calibration.of("lift it").offset == pytest.approx(-4, abs=1)


def test_evaluating_after_calibrating_asks_nothing_again(pool, bundle, tmp_path, capsys, monkeypatch):
    calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True)
    monkeypatch.setattr(Detector, "margins", lambda *_: pytest.fail("asked again"))
    new = JudgeChoice(bundle=tmp_path / "out" / "bundle")
    assert Evaluate((pool,), judge=new, margins=tmp_path / "out" / "margins", json=True, draws=5).run() == 0


def test_the_same_command_again_changes_nothing_and_asks_nothing(pool, bundle, tmp_path, capsys, monkeypatch):
    first = calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True)
    monkeypatch.setattr(FrameStore, "images", lambda *_: pytest.fail("read again"))
    assert calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True) == first


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alpha": 0.0}, "--alpha 0: give a share"),
        ({"alpha": 1.0}, "--alpha 1: give a share"),
        ({"precision": 95.0}, "--precision 95: give a share"),
        ({"augmentations": -1}, "--augmentations -1"),
        ({"precision": 0.9, "without_labels": True}, "needs labels"),
    ],
)
def test_options_that_make_no_sense_are_refused(pool, bundle, tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        Calibrate((pool,), tmp_path / "out", judge=JudgeChoice(bundle=bundle), **options).run()
    assert not (tmp_path / "out").exists()


def test_what_the_labels_cannot_prove_is_refused_with_what_it_takes(pool, bundle, tmp_path):
    with pytest.raises(PoolError, match=r"67 of its labelled episodes.*precision of 0.99.*230 clear successes"):
        Calibrate((pool,), tmp_path / "out", judge=JudgeChoice(bundle=bundle), precision=0.99).run()
    assert not (tmp_path / "out" / "bundle").exists()


def test_a_pool_without_labels_is_refused_with_the_other_way(bundle, tmp_path):
    pool = write_pool(tmp_path / "pool", without_labels(attempts(20), "none"))
    with pytest.raises(PoolError, match="none of 20 episodes has a success label"):
        Calibrate((pool,), tmp_path / "out", judge=JudgeChoice(bundle=bundle)).run()


def test_too_few_labels_of_a_class_are_refused(bundle, tmp_path):
    few = [replace(one, success=k == 0) for k, one in enumerate(attempts(20))]
    with pytest.raises(PoolError, match="too few of one class"):
        Calibrate((write_pool(tmp_path / "pool", few),), tmp_path / "out", judge=JudgeChoice(bundle=bundle)).run()


def test_a_bundle_that_is_there_is_never_overwritten(pool, bundle, tmp_path):
    bundles.write(tmp_path / "out" / "bundle", Calibration(bias=3.0))
    with pytest.raises(BundleError, match="already exists"):
        Calibrate((pool,), tmp_path / "out", judge=JudgeChoice(bundle=bundle), without_labels=True).run()
    assert not (tmp_path / "out" / "calibration.json").exists()


def test_figures_of_the_calibration_before_are_not_carried_on(pool, bundle, tmp_path, capsys):
    assert Detector.load(bundle).manifest.lineage.metrics
    calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True)
    new = Detector.load(tmp_path / "out" / "bundle").manifest
    assert new.lineage == replace(Detector.load(bundle).manifest.lineage, metrics={})


def test_a_pool_of_one_episode_an_instruction_is_left_as_it_was(bundle, tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", attempts(3))
    found = calibrated(capsys, pool, tmp_path / "out", bundle, without_labels=True)
    assert FramePool.open(pool).path == pool
    assert "80 are needed" in found["families"]["lift it"]["reason"]
    assert found["yes_share"] == found["yes_share_before"]
