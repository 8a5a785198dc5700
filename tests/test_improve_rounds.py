"""Rounds from a pool to a better detector: what is made, what goes on after an interruption, what ends them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from safetensors.torch import load_file, save_file

from conftest import REPOSITORY
from robo_dialog.detect.detector import Detector
from robo_dialog.errors import ConfigError, ModelError, PoolError
from robo_dialog.improve import stages
from robo_dialog.improve.alarms import alarms
from robo_dialog.improve.command import Improve
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.improve.stages import is_held_out
from robo_dialog.models import embedded_bundle, embedded_model
from robo_dialog.play.settings import Questions, Settings
from robo_dialog.pretrain.architecture import build
from robo_dialog.tune.agreement import boundary
from robo_dialog.tune.averaging import average
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.settings import TuneSettings
from robo_episodes.commands import Ingest
from robo_episodes.sim.command import Simulate
from robo_server.demo.improving import OPTIONS

GAMES = 40
PAGE = (REPOSITORY / "docs" / "improving.md").read_text(encoding="utf-8")
QUICK = """--rounds 1 --games 40 --held-out 0.5 --play.guesser likelihood
--play.questions.samples 1 --play.questions.bank 2
--tune.steps 2 --tune.batch 2 --tune.rank 2 --tune.alpha 2 --tune.guesser-share 0 --gate.margin 0.99 --gate.fall 0.99
--gate.anchor-fall 0.99 --gate.fewest-games 2 --gate.fewest-episodes 2 --gate.least-kept 0 --gate.slowest 100"""
LENIENT = Limits(margin=0.99, fall=0.99, anchor_fall=0.99, fewest_games=2, fewest_episodes=2, least_kept=0, slowest=100)
STRICT = Limits(margin=0.99, fall=0.99, anchor_fall=0.99, fewest_games=1000, slowest=100)
SETTINGS = RoundSettings(
    rounds=1,
    games=GAMES,
    held_out=0.5,
    play=Settings(pairing="all_views", guesser="likelihood", questions=Questions(samples=1, bank=2)),
    tune=TuneSettings(steps=2, batch=2, held_out=0.0, rank=2, alpha=2, guesser_share=0),
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("improve")
    Simulate(folder / "target.hdf5", domain="target", episodes=24, seed=1, every=10**9).run()
    assert Ingest((folder / "target.hdf5",), out=folder / "pool", cameras=("front", "side")).run() == 0
    return folder / "pool"


@pytest.fixture(autouse=True)
def short_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_dialog.play.preparation.CAPTIONS", 4)
    monkeypatch.setattr("robo_dialog.play.bank.GROUPS", 4)


@pytest.fixture(scope="module")
def improved(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("improve") / "rounds"
    (line,) = re.findall(r"^robo-dialog improve (.*)$", PAGE, re.MULTILINE)
    given = shlex.split(line.replace("runs/improved", str(out)).replace("pool pool", f"pool {pool}"))
    command = tyro.cli(Improve, args=[*given, *QUICK.split(), "--episodes", str(pool)])
    assert command == Improve(pool, out, episodes=pool, settings=SETTINGS, limits=LENIENT)
    assert command.run() == 0
    return out


def read(path: Path) -> dict[str, object]:
    return json.loads(path.read_text())


def test_a_round_leaves_games_model_bundle_and_decision(improved: Path) -> None:
    found = read(improved / "improve.json")
    assert [one["promoted"] for one in found["rounds"]] == [True]
    assert found["rounds"][0]["games"] == GAMES
    assert found["bundle"] == str(improved / "round-1" / "bundle")
    assert {path.name for path in (improved / "round-1").iterdir()} == {
        "games",
        "tuned",
        "model",
        "bundle",
        "gate.json",
        "evaluation.json",
    }
    bundle = Detector.load(Path(found["bundle"]))
    assert bundle.calibration.method.startswith("no label was used")
    assert bundle.manifest.lineage.dialogs_digest


def test_the_detector_lies_between_the_start_and_what_was_tuned(improved: Path) -> None:
    first = improved / "round-1"
    start, tuned, model = (
        load_file(folder / "model.safetensors") for folder in (embedded_model(), first / "tuned", first / "model")
    )
    share = SETTINGS.start_share
    assert any(not torch.equal(start[name], weight) for name, weight in tuned.items())
    for name, weight in model.items():
        between = share * start[name].float() + (1 - share) * tuned[name].float()
        torch.testing.assert_close(weight.float(), between, atol=2e-3, rtol=2e-3)


def test_tied_weights_are_averaged_once(tmp_path: Path) -> None:
    start = load_file(embedded_model() / "model.safetensors")
    shutil.copytree(embedded_model(), tmp_path / "tuned")
    moved = {name: weight + 0.5 for name, weight in start.items()}
    save_file(moved, tmp_path / "tuned" / "model.safetensors", metadata={"format": "pt"})
    average(embedded_model(), tmp_path / "tuned", tmp_path / "out", 0.25)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) == set(start)
    for name, weight in found.items():
        torch.testing.assert_close(weight.float(), start[name].float() + 0.375, atol=4e-3, rtol=2e-3)


def test_checkpoints_of_two_architectures_are_not_averaged(tmp_path: Path) -> None:
    other, processor = build(text="qwen3")
    other.save_pretrained(tmp_path / "other")
    processor.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="average checkpoints of one architecture"):
        average(embedded_model(), tmp_path / "other", tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


def test_before_the_first_round_all_outcomes_tell_and_the_shipped_boundary_stays(improved: Path) -> None:
    """Nothing was learned yet, so none is held out; too few outcomes show heaps."""
    base = Detector.load(improved / "base" / "bundle").calibration
    tuned = Detector.load(improved / "round-1" / "bundle").calibration
    shipped = Detector.load(embedded_bundle()).calibration
    assert base.offset == pytest.approx(boundary(shipped, 2), abs=1e-5) != 0
    assert tuned.offset == 0
    episodes = [int(re.search(r"; (\d+) episodes of a pool", one.method)[1]) for one in (base, tuned)]
    assert episodes[0] > episodes[1] > 0


def test_nothing_is_learned_from_held_out_episodes(improved: Path, pool: Path) -> None:
    lines = (improved / "round-1" / "games" / "dialogs.jsonl").read_text().splitlines()
    kept = [one for one in map(json.loads, lines) if one["kept"]]
    learned = [one for one in kept if not is_held_out(one["describer"]["episode_id"], SETTINGS.held_out)]
    images = {view["frame_id"] for one in learned for view in (one["describer"], one["candidates"][one["target"]])}
    assert read(improved / "round-1" / "tuned" / "tuning.json")["examples"] == len(images)
    assert len(learned) < len(kept)


def test_the_same_command_makes_nothing_anew(improved: Path, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    for name in ("Play", "tune", "export_bundle", "gather"):
        monkeypatch.setattr(stages, name, unwanted)
    before = read(improved / "improve.json")
    assert Improve(pool, improved, episodes=pool, settings=SETTINGS, limits=LENIENT).run() == 0
    assert read(improved / "improve.json") == before


def test_a_checkpoint_appears_with_what_is_told_of_it(
    improved: Path, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after it appeared, nothing is tuned again."""
    shutil.copytree(improved / "round-1" / "games", tmp_path / "games")
    this = stages.Round(tmp_path, 1, "tiny", improved / "base" / "bundle", "tiny")

    def killed(*_: object, ignore_errors: bool = False, **__: object) -> None:
        if not ignore_errors:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stages.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            stages.learn(this, pool, (), SETTINGS)
    monkeypatch.setattr(stages, "tune", killed)
    assert stages.learn(this, pool, (), SETTINGS)["steps"] == SETTINGS.tune.steps


def test_figures_are_of_the_episodes_that_are_given(improved: Path, pool: Path, tmp_path: Path) -> None:
    bundle, out = improved / "round-1" / "bundle", tmp_path / "evaluation.json"
    shutil.copyfile(improved / "round-1" / "evaluation.json", out)
    before = stages.measured(bundle, pool, out)
    Simulate(tmp_path / "source.hdf5", domain="source", episodes=12, seed=2, every=10**9).run()
    assert Ingest((tmp_path / "source.hdf5",), out=tmp_path / "pool", cameras=("front", "side")).run() == 0
    other = stages.measured(bundle, tmp_path / "pool", out)
    assert (before["n"], other["n"]) == (24, 12)
    assert before == read(improved / "round-1" / "evaluation.json")
    with pytest.raises(PoolError, match="nowhere"):
        stages.measured(bundle, tmp_path / "nowhere", out)


def test_a_pool_that_was_changed_is_another_run(improved: Path, pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "rounds"
    out.mkdir()
    begun = read(improved / "begun.json") | {"pool_digest": "0" * 64}
    (out / "begun.json").write_text(json.dumps(begun))
    with pytest.raises(ConfigError, match=r"pool_digest = '0{64}', now '"):
        Improve(pool, out, settings=SETTINGS, limits=LENIENT).run()


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_a_pool_too_small_to_be_divided_is_refused_before_anything_is_made(
    pool: Path, tmp_path: Path, share: float
) -> None:
    with pytest.raises(PoolError, match="of its 24 episodes with an instruction are held out"):
        Improve(pool, tmp_path / "rounds", settings=RoundSettings(held_out=share)).run()
    assert not (tmp_path / "rounds").exists()


def test_without_a_game_about_held_out_episodes_nothing_is_promoted(improved: Path, pool: Path, tmp_path: Path) -> None:
    shutil.copytree(improved / "round-1" / "games", tmp_path / "games")
    (tmp_path / "games" / "dialogs.jsonl").write_text("")
    this = stages.Round(tmp_path, 1, "tiny", improved / "base" / "bundle", "tiny")
    found = stages.gate(this, improved / "round-1" / "bundle", pool, (), SETTINGS, LENIENT)
    assert (found["promoted"], "nothing tells" in found["reason"]) == (False, True)


def test_other_settings_need_another_folder(improved: Path, pool: Path) -> None:
    with pytest.raises(ConfigError, match="limits"):
        Improve(pool, improved, settings=SETTINGS, limits=STRICT).run()


def test_a_round_that_the_gate_refuses_is_the_last_and_its_detector_is_not_taken(
    pool: Path, improved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rounds"
    for name in ("games", "model", "bundle"):
        (out / "round-1").mkdir(parents=True, exist_ok=True)
        (out / "round-1" / name).symlink_to(improved / "round-1" / name)
    (out / "base").symlink_to(improved / "base")
    command = Improve(pool, out, settings=RoundSettings(**{**vars(SETTINGS), "rounds": 3}), limits=STRICT, json=True)
    (out / "begun.json").write_text(json.dumps(command._begun_with()))
    assert command.run() == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["promoted"] for one in found["rounds"]] == [False]
    assert "nothing tells" in found["rounds"][0]["reason"]
    assert found["bundle"] == str(out / "base" / "bundle")


def test_about_the_wanted_share_is_held_out_and_always_the_same() -> None:
    ids = [f"episode {number}" for number in range(4000)]
    held = [one for one in ids if is_held_out(one, 0.15)]
    assert np.isclose(len(held) / len(ids), 0.15, atol=0.02)
    assert set(held) <= {one for one in ids if is_held_out(one, 0.3)}


def test_collapsed_questions_and_constant_answers_raise_alarms() -> None:
    healthy = {"distinct_2": 0.2, "yes_share": 0.5, "warnings": []}
    assert alarms([healthy, healthy]) == []
    (collapsed,) = alarms([healthy, {**healthy, "distinct_2": 0.05}])
    assert "0.2" in collapsed
    (constant,) = alarms([healthy, {**healthy, "yes_share": 0.97}])
    assert "97%" in constant
    assert alarms([{**healthy, "warnings": ["pixel talk"]}]) == ["pixel talk"]


@pytest.mark.parametrize(("lost", "rings"), [(590, False), (670, True)])
def test_a_model_that_wins_hardly_more_than_by_luck_raises_an_alarm(lost: int, *, rings: bool) -> None:
    played = {"games": 1100, "aborted": 100, "rejected": {"lost": lost}, "expected_lucky_share": 0.25}
    assert ["33% of the games were won, 25% is luck" in one for one in alarms([played])] == [True] * rings


@pytest.mark.parametrize(
    "changed", [{"rounds": 0}, {"games": 0}, {"gate_games": 0}, {"held_out": 1.0}, {"start_share": 1.0}, {"seed": -1}]
)
def test_settings_that_cannot_be_meant_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RoundSettings(**changed)


def test_every_option_that_the_page_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(Improve, args=["--help"])
    known = capsys.readouterr().out
    named = set(re.findall(r"`--([a-z.-]+[a-z])", PAGE)) - {"gate"}
    assert named
    assert {name for name in named if f"--{name} " not in known} == set()


def test_the_options_of_the_demonstration_are_known() -> None:
    command = tyro.cli(Improve, args=["--pool", "pool", "--out", "out", "--json", "--seed", "3", *OPTIONS])
    assert (command.settings.rounds, command.settings.seed) == (1, 3)
