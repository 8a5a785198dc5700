"""Runs on disk: the same bytes after every kind of interruption, and clear errors for everything that does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from robo_dialog.errors import ConfigError, ModelError, PoolError
from robo_dialog.play.filter_command import Filter
from robo_dialog.play.play_command import Play
from robo_dialog.play.settings import Questions, Settings
from robo_dialog.vlm.choice import ModelChoice
from robo_dialog.vlm.protocol import Prompt
from robo_dialog.vlm.scripted import ScriptedVLM
from robo_episodes.commands import Ingest

GAMES, BATCH = 25, 5
SETTINGS = Settings(guesser="likelihood", cameras=("front", "side"), questions=Questions(samples=2))


def answer(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
    """Something that depends on every pixel and every word, and on nothing else."""
    pixels = sum(int(image.astype(np.int64).sum()) for message in prompt for image in message.images)
    letters = sum(ord(letter) for message in prompt for letter in message.text)
    return [1 + (pixels * (k + 3) + letters * (k + 7)) % 97 for k in range(len(options))]


def say(prompt: Prompt, rng: np.random.Generator) -> str:
    thing, place = ("cube", "ball", "plate", "drawer")[int(rng.integers(4))], ("table", "plate")[int(rng.integers(2))]
    return f"Is the {thing} on the {place}?"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    path = tmp_path_factory.mktemp("play") / "pool"
    data = repository / "tests" / "data"
    assert Ingest((data / "tabletop_source.hdf5", data / "tabletop_target.hdf5"), out=path).run() == 0
    return path


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(answer, say, identity=choice.model))


def command(pool: Path, out: Path, **changed: object) -> Play:
    return Play(**{"pool": pool, "out": out, "games": GAMES, "batch": BATCH, "settings": SETTINGS, **changed})


@pytest.fixture(scope="module")
def clean(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(answer, say, identity=choice.model))
        assert command(pool, out).run() == 0
    return out


def content(out: Path) -> dict[str, bytes]:
    names = ("dialogs.jsonl", "preparation.json", "summary.json")
    return {name: (out / name).read_bytes() for name in names}


def test_a_run_holds_every_game_once_in_order(clean: Path) -> None:
    lines = [json.loads(line) for line in (clean / "dialogs.jsonl").read_text().splitlines()]
    assert [line["game_id"] for line in lines] == list(range(GAMES))
    assert all(len(line["turns"]) == 3 and len(line["guesses"]) == 4 for line in lines)
    assert all(line["kept"] == (not line["reasons"]) for line in lines)


def test_two_runs_with_one_seed_are_the_same_bytes(pool: Path, clean: Path, tmp_path: Path) -> None:
    command(pool, tmp_path / "again").run()
    command(pool, tmp_path / "other", seed=1).run()
    assert content(tmp_path / "again") == content(clean)
    assert content(tmp_path / "other")["dialogs.jsonl"] != content(clean)["dialogs.jsonl"]


DIES = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_play_runs as t
calls = 0
def dying(choice):
    def answer(prompt, options):
        global calls
        calls += 1
        if calls == {calls}:
            os._exit(9)
        return t.answer(prompt, options)
    return t.ScriptedVLM(answer, t.say, identity=choice.model)
t.ModelChoice.open = dying
t.command(Path({pool!r}), Path({out!r})).run()
"""


# A run asks about 1270 times: while it prepares, within the second batch, within the last.
@pytest.mark.parametrize("calls", [5, 800, 1200])
def test_a_killed_run_goes_on_to_the_same_bytes(pool: Path, clean: Path, tmp_path: Path, calls: int) -> None:
    out = tmp_path / "run"
    script = DIES.format(tests=str(Path(__file__).parent), calls=calls, pool=str(pool), out=str(out))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == 9, ended.stderr.decode()
    command(pool, out).run()
    assert content(out) == content(clean)


@pytest.mark.parametrize("cut", [1, 1000, 30_000])
def test_half_a_line_or_half_a_batch_is_played_again(pool: Path, clean: Path, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "run"
    command(pool, out).run()
    file = out / "dialogs.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    (out / "summary.json").unlink()
    command(pool, out).run()
    assert content(out) == content(clean)


def test_more_games_are_added_to_a_run(pool: Path, clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command(pool, out, games=12).run()
    command(pool, out).run()
    assert content(out) == content(clean)


def test_a_run_that_is_done_plays_nothing(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    command(pool, out, games=7).run()
    before = content(out)

    def refuse(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        raise AssertionError("asked again")

    monkeypatch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(refuse, say, identity=choice.model))
    command(pool, out, games=7).run()
    assert content(out) == before


def test_another_seed_model_or_setting_is_no_continuation(pool: Path, clean: Path) -> None:
    before = content(clean)
    for changed in (
        {"seed": 5},
        {"vlm": ModelChoice(model="other")},
        {"settings": Settings(pairing="same", guesser="likelihood", cameras=("front", "side"))},
    ):
        with pytest.raises(ConfigError, match="begun with other values"):
            command(pool, clean, **changed).run()
    assert content(clean) == before


def test_what_differs_is_named_by_its_key(pool: Path, clean: Path) -> None:
    settings = Settings(pairing="same", guesser="likelihood", cameras=("front", "side"))
    with pytest.raises(ConfigError, match=r"other values \(settings.pairing = '\w+', now 'same', .*; give the same"):
        command(pool, clean, settings=settings).run()


def test_what_a_process_left_that_was_killed_before_it_began_is_no_run(pool: Path, tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.tmp").write_text("{")
    assert command(pool, tmp_path, games=7).run() == 0


def test_a_folder_with_something_else_is_left_alone(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is no run and not empty"):
        command(pool, tmp_path).run()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_cameras_that_the_pool_lacks_are_named(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="the pool has cameras front, side, wrist"):
        command(pool, tmp_path / "run", settings=Settings(cameras=("top",))).run()
    assert not (tmp_path / "run").exists()


def test_a_model_that_stops_answering_ends_the_run_and_it_can_go_on(
    pool: Path, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def dies(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        nonlocal calls
        calls += 1
        if calls > 800:
            raise ModelError("HTTP 503")
        return answer(prompt, options)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("robo_dialog.play.play_command.DEAD", BATCH)
        patch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(dies, say, identity=choice.model))
        with pytest.raises(ModelError, match="HTTP 503; mend that"):
            command(pool, out).run()
    assert not (out / "summary.json").exists()


def test_labels_that_come_later_change_no_run(pool: Path, clean: Path) -> None:
    from robo_dialog.play.moments import digest
    from robo_episodes.pool import FramePool

    opened = FramePool.open(pool)
    assert json.loads((clean / "run.json").read_text())["pool_digest"] == digest(opened) != opened.digest()


def test_filtering_counts_every_game_once_and_writes_the_kept_ones(pool: Path, clean: Path, capsys) -> None:
    capsys.readouterr()
    assert Filter(clean, json=True).run() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["games"] == GAMES == found["kept"] + sum(found["rejected"].values())
    assert {"won", "aborted", "lucky_share", "expected_lucky_share", "games_per_s"} <= set(found)
    kept = (clean / "kept.jsonl").read_text().splitlines()
    assert len(kept) == found["kept"]
    judged = {line["game_id"]: line["kept"] for line in map(json.loads, (clean / "dialogs.jsonl").open())}
    assert [json.loads(line)["game_id"] for line in kept] == [game for game, is_kept in judged.items() if is_kept]


def test_a_stricter_filter_rejects_more_and_edits_nothing(pool: Path, clean: Path, capsys) -> None:
    from robo_dialog.play.filters import Thresholds

    before = content(clean)["dialogs.jsonl"]
    (clean / "rows.parquet").write_bytes(b"of dialogs that were kept before")
    uninformative = []
    for spread in (0.0, 0.9):
        capsys.readouterr()
        Filter(clean, thresholds=Thresholds(spread=spread), rows=False, json=True).run()
        rejected = json.loads(capsys.readouterr().out)["rejected"]
        uninformative.append(rejected.get("uninformative", 0))
    assert uninformative[0] < uninformative[1]
    assert content(clean)["dialogs.jsonl"] == before
    assert not (clean / "rows.parquet").exists()


def test_filtering_with_another_pool_is_refused(clean: Path, tmp_path: Path, repository: Path) -> None:
    Ingest((repository / "tests" / "data" / "tabletop_source.hdf5",), out=tmp_path / "pool").run()
    with pytest.raises(ConfigError, match="is not the pool of this run"):
        Filter(clean, pool=tmp_path / "pool").run()
