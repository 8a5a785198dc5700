"""`robo-dialog evaluate` from pool or recordings to JSON, Markdown and plots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import bundles
from labelled_pools import Attempt, drawn, level_of, write_pool
from recording_files import write_robomimic
from robo_dialog.detect import Detector, Frame, Request
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.wording import Wordings
from robo_dialog.errors import ConfigError, PoolError
from robo_dialog.play.frames import FrameStore
from robo_dialog.tune.evaluate_command import Evaluate
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.margins import Margins, ask
from robo_dialog.tune.passes import views_of
from robo_dialog.tune.subjects import JudgeChoice
from robo_episodes.episode import Trust
from robo_episodes.pool import FramePool

NUDGED = Wordings((("lift it", "nudge it up"), ("open it", "nudge it open")))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("evaluate") / "bundle")


@pytest.fixture
def attempts() -> list[Attempt]:
    lift = [replace(one, first={"front": 0, "side": 0}) for one in drawn(60, source="/day.hdf5#a")]
    opened = drawn(40, seed=1, shift=4.0, instruction="open it", source="/night.hdf5#b")
    close = [replace(one, metadata={"attempt": "near_miss"}) for one in opened if not one.success][:5]
    names = {one.id for one in close}
    return [*lift, *(one for one in opened if one.id not in names), *close]


@pytest.fixture
def pool(tmp_path: Path, attempts: list[Attempt]) -> Path:
    return write_pool(tmp_path / "pool", attempts)


def evaluated(capsys: pytest.CaptureFixture[str], *episodes: Path, bundle: Path | None, **changed: object) -> dict:
    command = Evaluate(episodes, judge=JudgeChoice(bundle=bundle), json=True, draws=50, **changed)
    assert command.run() == 0
    return json.loads(capsys.readouterr().out)


def test_the_object_has_the_keys_that_programs_are_promised(pool, bundle, capsys):
    found = evaluated(capsys, pool, bundle=bundle)
    promised = "n balanced_accuracy recall_success recall_failure auroc ece near_miss_fpr paraphrase_flip_rate interval"
    assert {*promised.split(), "baselines"} <= set(found)
    assert found["n"] == 100
    assert found["interval"][0] <= found["balanced_accuracy"] <= found["interval"][1]
    yes, no = found["baselines"]["always_yes"], found["baselines"]["always_no"]
    assert (yes["balanced_accuracy"], yes["success"], yes["failure"]) == (0.5, 1.0, 0.0)
    assert (no["success"], no["failure"]) == (0.0, 1.0)
    assert set(found["by_family"]) == {"lift it", "open it"}
    assert set(found["by_camera"]) == {"front", "side"}
    assert set(found["by_source"]) == {"/day.hdf5", "/night.hdf5"}
    assert found["beginning_fpr"] == 0.0
    assert found["paraphrase_flip_rate"] is None


def test_no_draws_are_no_interval(pool, bundle, tmp_path):
    with pytest.raises(ConfigError, match="--draws 0: expected at least 1"):
        Evaluate((pool,), judge=JudgeChoice(bundle=bundle), draws=0, out=tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_what_is_measured_is_what_is_served(tmp_path, pool, attempts, capsys):
    """Temperature, thresholds, weights and wordings of the bundle, all of them, against its verdicts one by one."""
    calibration = Calibration(
        temperatures={1: 2.0, 2: 1.5},
        bias=0.3,
        task_thresholds={"open it": 0.9},
        abstention_band=(-0.2, 0.1),
        camera_weights={"side": 3.0},
        wordings=NUDGED,
        agreement=1.0,
    )
    detector = Detector.load(bundles.write(tmp_path / "b", calibration))
    opened = FramePool.open(pool)
    views, margins, judge = views_of(opened), Margins("m"), BundleJudge(detector)
    ask(judge, FrameStore(opened), views.queries(calibration), margins)
    store, served = FrameStore(opened), {}
    for outcome in views.outcomes:
        frames = [Frame(store.png(frame_id), camera) for camera, frame_id in outcome.frames.items()]
        served[outcome.episode_id] = detector.verdicts([Request(frames, outcome.instruction)])[0]
    for one in judged_episodes(opened, views, calibration, margins):
        verdict = served[one.episode_id]
        assert one.seen.probability == pytest.approx(verdict.probability, abs=1e-5)
        assert one.seen.threshold == verdict.threshold
        assert one.seen.uncertain == (verdict.outcome == "UNCERTAIN")
    assert {verdict.outcome for verdict in served.values()} == {"SUCCESS", "FAILURE", "UNCERTAIN"}


def test_near_misses_are_read_from_what_the_recordings_say(pool, attempts, bundle, capsys):
    found = evaluated(capsys, pool, bundle=bundle)
    near = [one for one in attempts if one.metadata]
    called = [np.mean([bundles.margin_of(level) for level in one.levels.values()]) >= 0 for one in near]
    assert found["near_miss_fpr"] == pytest.approx(np.mean(called))


def test_paraphrases_that_flip_verdicts_are_counted(tmp_path, bundle, capsys):
    """A nudge adds one to the margin: only episodes between -1 and 0 flip."""
    margins = (-5.0, -0.5, 0.5, 5.0)
    attempts = [Attempt(f"e{k}", {"front": level_of(m)}, m > 0) for k, m in enumerate(margins)]
    file = tmp_path / "said.yaml"
    file.write_text("- [lift it, nudge it]\n")
    pool = write_pool(tmp_path / "pool4", attempts)
    assert evaluated(capsys, pool, bundle=bundle, paraphrases=file)["paraphrase_flip_rate"] == 0.25


def test_only_believed_labels_count(tmp_path, attempts, bundle, capsys):
    more = [replace(one, id=f"x{one.id}", trust=Trust.CONSTANT) for one in attempts[:30]]
    unknown = [replace(one, id=f"y{one.id}", success=None) for one in attempts[:20]]
    pool = write_pool(tmp_path / "mixed", [*more, *attempts, *unknown])
    assert evaluated(capsys, pool, bundle=bundle)["n"] == len(attempts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"success": True}, "all 10 labelled episodes are successes"),
        ({"success": False}, "all 10 labelled episodes are failures"),
        ({"success": None, "trust": Trust.NONE}, "none of 10 episodes has a success label"),
        ({"trust": Trust.CONSTANT}, "10 of 10 episodes have a success field that is the same in every recording"),
        ({"instruction": None}, "instruction"),
    ],
)
def test_labels_that_measure_nothing_are_refused_with_the_reason(tmp_path, bundle, change, told):
    pool = write_pool(tmp_path / "pool", [replace(one, **change) for one in drawn(10)])
    with pytest.raises(PoolError, match=told):
        Evaluate((pool,), judge=JudgeChoice(bundle=bundle)).run()


def test_labels_of_one_class_among_episodes_with_an_instruction_are_refused(tmp_path, bundle):
    attempts = [replace(one, instruction="lift it" if one.success else None) for one in drawn(10)]
    with pytest.raises(PoolError, match="none or all are successes"):
        Evaluate((write_pool(tmp_path / "pool", attempts),), judge=JudgeChoice(bundle=bundle)).run()


def test_a_folder_gets_figures_page_plots_and_margins(pool, bundle, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    found = evaluated(capsys, pool, bundle=bundle, out=out)
    assert json.loads((out / "evaluate.json").read_text()) == found
    page = (out / "evaluate.md").read_text()
    for row in ("always yes", "always no", "## By instruction", "## By camera alone", "## By place of recording"):
        assert row in page
    for picture in ("roc.png", "reliability.png"):
        assert f"]({picture})" in page
        assert cv2.imread(str(out / picture)).std() > 5
    assert len(list((out / "margins").iterdir())) == 1


def test_a_second_look_asks_nothing_and_says_the_same(pool, bundle, tmp_path, capsys, monkeypatch):
    first = evaluated(capsys, pool, bundle=bundle, out=tmp_path / "out")
    monkeypatch.setattr(Detector, "margins", lambda *_: pytest.fail("asked again"))
    assert evaluated(capsys, pool, bundle=bundle, out=tmp_path / "out") == first


def test_two_detectors_are_compared_on_the_same_episodes(tmp_path, pool, bundle, capsys):
    """The same model with another threshold: nothing is asked twice, and the better one is told."""
    other = bundles.write(tmp_path / "other", Calibration(threshold=0.999))
    found = evaluated(capsys, pool, bundle=bundle, against=str(other), out=tmp_path / "out")
    against = found["against"]
    assert against["model"] == found["model"]
    assert against["difference"] == pytest.approx(found["balanced_accuracy"] - against["balanced_accuracy"], abs=1e-5)
    assert set(against["mcnemar"]) == {"first_only", "second_only", "p_value"}
    assert len(list((tmp_path / "out" / "margins").iterdir())) == 1
    assert str(other) in (tmp_path / "out" / "evaluate.md").read_text()


def test_another_calibration_can_be_tried(tmp_path, pool, bundle, capsys):
    file = tmp_path / "calibration.json"
    file.write_bytes(Calibration(threshold=1.0, method="by hand").encode())
    found = evaluated(capsys, pool, bundle=bundle, calibration=file)
    assert (found["calibration"], found["recall_success"]) == ("by hand", 0.0)


def test_recordings_are_read_without_making_a_pool_first(tmp_path, bundle, capsys):
    demos = {}
    for k in range(12):
        images = [np.full((32, 40, 3), level, np.uint8) for level in (10, 20, 30 + 15 * k)]
        demos[f"demo_{k}"] = {
            "frames": images,
            "attrs": {"success": k > 5, "ep_meta": '{"lang": "lift it"}'},
        }
    recording = write_robomimic(tmp_path / "day.hdf5", demos)
    found = evaluated(capsys, recording, bundle=bundle)
    assert (found["n"], found["successes"], found["auroc"]) == (12, 6, 1.0)
    assert found["beginning_fpr"] == 0.0


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (JudgeChoice(), "either --model .* or --bundle"),
        (JudgeChoice(model="tiny", bundle=Path("b")), "either --model .* or --bundle"),
    ],
)
def test_a_model_or_a_bundle_must_be_given(pool, choice, told):
    with pytest.raises(ConfigError, match=told):
        Evaluate((pool,), judge=choice).run()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- [lift it]\n", "two or more"),
        ("lift: it\n", "a list of groups"),
        ("- [a, 3]\n", "a list of groups"),
        ("- ['{a} up', 'up']\n", "same words in braces"),
        ("[", "not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_paraphrases_that_is_none_is_refused(tmp_path, pool, bundle, content, told):
    file = tmp_path / "said.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=told):
        Evaluate((pool,), judge=JudgeChoice(bundle=bundle), paraphrases=file).run()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_asked(tmp_path, pool, bundle):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another --out"):
        Evaluate((pool,), judge=JudgeChoice(bundle=bundle), out=tmp_path / "file" / "out").run()
