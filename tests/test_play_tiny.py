"""Games of the embedded model itself, on a handful of frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from robo_dialog.models import embedded_model
from robo_dialog.play.dialog import read_dialogs
from robo_dialog.play.play_command import Play
from robo_dialog.play.settings import Mix, Settings
from robo_episodes.commands import Ingest
from robo_episodes.stages.choice import ExecutorChoice

BATCH = 6


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    embedded_model()
    path = tmp_path_factory.mktemp("tiny") / "pool"
    data = repository / "tests" / "data"
    Ingest((data / "tabletop_source.hdf5", data / "tabletop_target.hdf5"), out=path).run()
    return path


@pytest.fixture(autouse=True)
def short_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_dialog.play.preparation.TRIAL_GAMES", 4)
    monkeypatch.setattr("robo_dialog.play.preparation.CAPTIONS", 4)


def play(pool: Path, out: Path, games: int, mix: Mix) -> bytes:
    settings = Settings(cameras=("front", "side"), mix=mix)
    assert Play(pool, out, games=games, batch=BATCH, settings=settings).run() == 0
    return (out / "dialogs.jsonl").read_bytes()


def test_tiny_plays_the_same_games_again_in_one_go_or_in_pieces(pool: Path, tmp_path: Path) -> None:
    mix = Mix(same_task=1.0, nearest=1.0, random=1.0)
    whole = play(pool, tmp_path / "whole", 2 * BATCH, mix)
    assert play(pool, tmp_path / "again", 2 * BATCH, mix) == whole
    play(pool, tmp_path / "pieces", BATCH, mix)
    assert play(pool, tmp_path / "pieces", 2 * BATCH, mix) == whole
    dialogs = list(read_dialogs(tmp_path / "whole" / "dialogs.jsonl"))
    assert len(dialogs) == 2 * BATCH
    assert {dialog.model for dialog in dialogs} == {dialogs[0].model}
    assert dialogs[0].model.startswith("tiny-")
    assert {dialog.sampling for dialog in dialogs} == {"same_task", "nearest", "random"}
    questions = [turn.question for dialog in dialogs for turn in dialog.turns if turn.source == "sampled"]
    assert questions
    assert all(question.endswith("?") and "<" not in question for question in questions)


def test_games_played_in_other_processes_are_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    settings = Settings(cameras=("front", "side"))
    for name, workers in (("local", 1), ("process", 2)):
        choice = ExecutorChoice("process" if name == "process" else "local", workers)
        assert Play(pool, tmp_path / name, games=14, batch=4, settings=settings, executor=choice).run() == 0
    for file in ("dialogs.jsonl", "summary.json"):
        assert (tmp_path / "process" / file).read_bytes() == (tmp_path / "local" / file).read_bytes()
