"""`robo-dialog promote`: who becomes champion, what is written, and with which exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bundles
from labelled_pools import Attempt, drawn, write_pool
from robo_dialog.detect import Detector
from robo_dialog.detect.bundle import write_bundle
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import BundleError, ConfigError, ModelError, StoreError
from robo_dialog.play.dialog import Dialog, DialogTurn, View, dialogs_digest
from robo_dialog.play.moments import digest, read_moments
from robo_dialog.play.row_files import write_parquet
from robo_dialog.play.rows import training_rows
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.promote_command import KEPT, Promote
from robo_episodes.pool import FramePool, write_json

ASKED = "The robot was told to lift it. Has it done so?"
ASKING = replace(bundles.PREPROCESSING, prompt="<image> The robot was told to {instruction}. Has it done so?").encode()
GOOD, BAD = Calibration(offset=-4.0), Calibration()


def bundle(path: Path, calibration: Calibration = GOOD, **lineage: str) -> Path:
    """A bundle that takes questions."""
    contents = bundles.contents(calibration, preprocess_json=ASKING)
    write_bundle(path, "by-hand", replace(bundles.LINEAGE, **lineage), contents)
    return path


@pytest.fixture(scope="module")
def attempts() -> list[Attempt]:
    """All margins four too low, as for the models of another lab."""
    return drawn(120, shift=-4.0, spread=1.5)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, attempts: list[Attempt]) -> Path:
    return write_pool(tmp_path_factory.mktemp("promote") / "pool", attempts)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, attempts: list[Attempt]) -> Path:
    return write_pool(tmp_path_factory.mktemp("promote") / "pool", [replace(one, success=None) for one in attempts])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, unlabelled: Path, attempts: list[Attempt]) -> Path:
    """Sixty games: one question, one of two candidates."""
    moments = read_moments(FramePool.open(unlabelled))
    levels = {one.id: sum(one.levels.values()) for one in attempts}
    ordered = sorted(moments, key=lambda one: levels[one.episode_id])
    turn = DialogTurn(ASKED, "instruction", True, 0.9, 0.9, (), ())
    folder, lines = tmp_path_factory.mktemp("promote") / "run", []
    for k in range(60):
        low, high = ordered[k], ordered[k + 60]
        views = [View(one.frames["front"], one.episode_id, "front", 0) for one in (low, high)]
        seen = View(high.frames["side"], high.episode_id, "side", 0)
        game = Dialog(k, 1, 0, "m", "likelihood", "cross_view", "same_task", "lift it", tuple(views), 1, seen, (turn,))
        lines.append(replace(game, outcome="won", kept=True).line() + "\n")
    folder.mkdir()
    begun = {"pool": str(unlabelled), "pool_digest": digest(FramePool.open(unlabelled))}
    write_json(folder / "run.json", begun)
    (folder / "dialogs.jsonl").write_text("".join(lines))
    return folder


def promote(capsys: pytest.CaptureFixture[str], candidate: Path, store: Path, **changed: object) -> tuple[int, dict]:
    code = Promote(candidate, store, json=True, **{"limits": Limits(slowest=50.0), **changed}).run()
    return code, json.loads(capsys.readouterr().out)


def failed(found: dict) -> list[str]:
    return [one["name"] for one in found["checks"] if not one["passed"]]


def test_a_first_candidate_that_is_better_than_chance_becomes_champion(pool, tmp_path, capsys):
    candidate, store = bundle(tmp_path / "bundle"), tmp_path / "store"
    code, found = promote(capsys, candidate, store, episodes=(pool,))
    assert (code, found["promoted"], found["champion"]) == (0, True, None)
    pointers = ModelStore(store).pointers()
    assert pointers.champion == found["candidate"] == Detector.load(candidate).digest[:16]
    assert Detector.load(ModelStore(store).path(found["candidate"])).digest == Detector.load(candidate).digest


def test_a_better_candidate_replaces_the_champion_and_a_worse_one_does_not(pool, tmp_path, capsys):
    store = tmp_path / "store"
    better, worse = bundle(tmp_path / "better"), bundle(tmp_path / "worse", BAD)
    before = ModelStore.create(store)
    before.promote(before.publish(worse))
    code, found = promote(capsys, better, store, episodes=(pool,))
    assert (code, found["labels"]) == (0, None)
    code, found = promote(capsys, worse, store, episodes=(pool,))
    assert (code, found["promoted"]) == (KEPT, False)
    assert "balanced accuracy" in failed(found)
    assert ModelStore(store).pointers().champion == Detector.load(better).digest[:16]


@pytest.mark.parametrize("wins", [True, False])
def test_the_decision_is_a_file_whatever_it_is(pool, tmp_path, capsys, wins):
    store = tmp_path / "store"
    first, second = (GOOD, replace(GOOD, bias=0.1)) if wins else (GOOD, BAD)
    promote(capsys, bundle(tmp_path / "first", first), store, episodes=(pool,))
    _, found = promote(capsys, bundle(tmp_path / "second", second), store, episodes=(pool,))
    file = store / "decisions" / f"{found['candidate']}-against-{found['champion']}.json"
    assert json.loads(file.read_text()) == found
    assert (found["promoted"], found["decision"]) == (wins, str(file))
    by_name = {one["name"]: one for one in found["checks"]}
    assert by_name["balanced accuracy"]["figures"]["n"] == 120
    assert set(by_name["balanced accuracy"]["figures"]) == {"n", "candidate", "champion", "difference", "low", "high"}
    assert {"export parity", "calibration error", "latency", "cameras agree", "verdicts hold"} <= set(by_name)
    assert all(one["reason"] for one in found["checks"])


def test_a_decision_may_be_written_elsewhere(pool, tmp_path, capsys):
    file = tmp_path / "gate" / "decision.json"
    _, found = promote(capsys, bundle(tmp_path / "bundle"), tmp_path / "store", episodes=(pool,), out=file)
    assert json.loads(file.read_text()) == found
    assert not (tmp_path / "store" / "decisions").exists()


def test_without_labels_games_decide(unlabelled, run, tmp_path, capsys):
    store = tmp_path / "store"
    code, found = promote(capsys, bundle(tmp_path / "first"), store, episodes=(unlabelled,), games=run)
    assert code == 0
    assert "none of 120 episodes has a success label" in found["labels"]
    names = [one["name"] for one in found["checks"]]
    assert {"games won", "kept answers", "both verdicts", "cameras agree"} <= set(names)
    code, found = promote(capsys, bundle(tmp_path / "second", replace(GOOD, bias=0.1)), store, games=run)
    assert code == 0
    (won,) = [one for one in found["checks"] if one["name"] == "games won"]
    assert won["figures"]["n"] == 60


def test_without_labels_and_games_nobody_is_promoted(unlabelled, tmp_path, capsys):
    code, found = promote(capsys, bundle(tmp_path / "bundle"), tmp_path / "store", episodes=(unlabelled,))
    assert code == KEPT
    assert "nothing tells what it is worth" in found["reason"]
    assert ModelStore(tmp_path / "store").pointers().champion is None
    assert ModelStore(tmp_path / "store").versions() == []


def test_a_candidate_that_says_the_same_of_everything_is_refused_though_games_are_won(
    unlabelled, run, tmp_path, capsys
):
    store = tmp_path / "store"
    promote(capsys, bundle(tmp_path / "first"), store, games=run)
    constant = bundle(tmp_path / "constant", Calibration(threshold=0.0))
    for episodes in ((unlabelled,), ()):  # without any, those that the games are about
        code, found = promote(capsys, constant, store, episodes=episodes, games=run)
        assert code == KEPT
        assert failed(found) == ["both verdicts", "cameras agree", "verdicts hold"]


def test_what_the_base_could_do_is_asked_too(run, tmp_path, capsys, unlabelled):
    from robo_dialog.play.frames import FrameStore

    dialogs = [replace(game, pairing="same") for game in promote_games(run)]
    lost = [
        replace(game, describer=game.candidates[0], turns=(replace(game.turns[0], answer=False),)) for game in dialogs
    ]
    store = FrameStore(FramePool.open(unlabelled))
    write_parquet(training_rows([*dialogs, *lost], store.image), tmp_path / "anchor.parquet")
    _, found = promote(
        capsys, bundle(tmp_path / "bundle"), tmp_path / "store", games=run, anchor=(tmp_path / "anchor.parquet",)
    )
    (anchor,) = [one for one in found["checks"] if one["name"] == "anchor"]
    assert anchor["figures"]["n"] == 120


def promote_games(run: Path) -> list[Dialog]:
    from robo_dialog.tune.replays import read_games

    return read_games(run / "dialogs.jsonl", 1000)


def test_what_a_candidate_was_trained_on_is_no_evidence(pool, run, tmp_path):
    tuned = bundle(tmp_path / "tuned", dialogs_digest=dialogs_digest(run / "dialogs.jsonl"))
    with pytest.raises(ConfigError, match=r"dialogs.jsonl: the candidate was trained on this"):
        Promote(tuned, tmp_path / "store", games=run).run()
    seen = bundle(tmp_path / "seen", pool_digest=digest(FramePool.open(pool)))
    with pytest.raises(ConfigError, match="pool: the candidate was trained on this"):
        Promote(seen, tmp_path / "store", episodes=(pool,)).run()


def test_games_over_another_pool_are_refused(pool, run, tmp_path):
    other = write_pool(tmp_path / "other", drawn(20))
    with pytest.raises(ConfigError, match=r"other: is not the pool of this run, or was changed since; .* --games-pool"):
        Promote(bundle(tmp_path / "bundle"), tmp_path / "store", games=run, games_pool=other).run()


def test_a_bundle_that_takes_no_questions_cannot_play(run, tmp_path):
    with pytest.raises(ModelError, match="export it again"):
        Promote(bundles.write(tmp_path / "bundle"), tmp_path / "store", games=run).run()


def test_a_candidate_that_does_not_repeat_its_golden_samples_is_refused_with_a_file(pool, tmp_path, capsys):
    store = tmp_path / "store"
    promote(capsys, bundle(tmp_path / "first"), store, episodes=(pool,))
    contents = bundles.contents(GOOD, preprocess_json=replace(bundles.PREPROCESSING, mean=(0.4, 0.4, 0.4)).encode())
    write_bundle(tmp_path / "broken", "by-hand", bundles.LINEAGE, contents)
    code, found = promote(capsys, tmp_path / "broken", store, episodes=(pool,))
    assert code == KEPT
    assert failed(found) == ["export parity"]
    assert "the scorer is off by" in found["reason"]
    assert Path(found["decision"]).is_file()


def test_a_damaged_bundle_is_an_error_and_no_decision(pool, tmp_path):
    path = bundle(tmp_path / "bundle")
    (path / "calibration.json").write_text("{}")
    with pytest.raises(BundleError, match=r"calibration.json: differs"):
        Promote(path, tmp_path / "store", episodes=(pool,)).run()
    assert not (tmp_path / "store" / "decisions").exists()


def test_the_champion_itself_stays_champion(pool, tmp_path, capsys):
    candidate, store = bundle(tmp_path / "bundle"), tmp_path / "store"
    promote(capsys, candidate, store, episodes=(pool,))
    code, found = promote(capsys, candidate, store, episodes=(pool,))
    assert (code, found["promoted"]) == (0, True)
    assert found["champion"] == found["candidate"]
    assert ModelStore(store).pointers().previous is None


def test_another_champion_meanwhile_is_not_overrun(pool, tmp_path, capsys, monkeypatch):
    store, other = tmp_path / "store", bundle(tmp_path / "other", replace(GOOD, bias=0.2))
    promote(capsys, bundle(tmp_path / "first"), store, episodes=(pool,))
    written = Promote._write

    def overtaken(command, file, found):
        ModelStore(store).promote(ModelStore(store).publish(other))
        written(command, file, found)

    monkeypatch.setattr(Promote, "_write", overtaken)
    with pytest.raises(StoreError, match="meanwhile"):
        Promote(
            bundle(tmp_path / "second", replace(GOOD, bias=0.1)), store, episodes=(pool,), limits=Limits(slowest=50.0)
        ).run()
    assert ModelStore(store).pointers().champion == Detector.load(other).digest[:16]
    (told,) = [json.loads(path.read_text()) for path in (store / "decisions").glob("*-against-*")]
    assert (told["promoted"], "has become champion meanwhile" in told["reason"]) == (False, True)


def test_a_table_tells_every_check(pool, tmp_path, capsys):
    assert Promote(bundle(tmp_path / "bundle", BAD), tmp_path / "store", episodes=(pool,)).run() in (0, KEPT)
    shown = capsys.readouterr().out
    assert "balanced accuracy" in shown
    assert "export parity" in shown


@pytest.mark.parametrize("changed", [{"most_games": 0}, {"augmentations": -1}])
def test_options_that_make_no_sense_are_refused(tmp_path, changed):
    with pytest.raises(ConfigError, match="--most-games"):
        Promote(bundle(tmp_path / "bundle"), tmp_path / "store", **changed).run()
    assert not (tmp_path / "store").exists()
