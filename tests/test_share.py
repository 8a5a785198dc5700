"""`robo-dialog share`: what is written is read back with the programs that it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tyro

from labelled_pools import Attempt, write_pool
from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.share.command import Share
from robo_dialog.share.dataset import write_dataset
from robo_dialog.share.said import Answered, Said, frames, said
from robo_episodes.pool import FramePool
from robo_episodes.verdicts import VerdictRow, to_jsonl

ATTEMPTS = [
    Attempt("a", {"front": 200.0, "side": 210.0}, True, first={"front": 20.0}),
    Attempt("b", {"front": 40.0, "side": 50.0}, None),
]
VERDICTS = [
    VerdictRow("a", "/recordings/day.hdf5#demo", None, "FAILURE", 0.2, "old@1"),
    VerdictRow("a", "/recordings/day.hdf5#demo", None, "SUCCESS", 0.9, "tiny@2"),
    VerdictRow("a", "/recordings/day.hdf5#demo", 3, "FAILURE", 0.1, "tiny@2"),
]


def game(number: int, episode: str, *turns: DialogTurn, kept: bool) -> Dialog:
    view = View("f" * 16, episode, "front", 0)
    game = Dialog(number, 0, 0, "m", "likelihood", "cross_view", "random", "lift it", (view, view), 0, view, turns)
    return replace(game, kept=kept, outcome="won")


def turn(question: str, answer: bool) -> DialogTurn:
    return DialogTurn(question, "sampled", answer, 0.9 if answer else 0.1, 0.5, (), ())


@pytest.fixture
def pool(tmp_path) -> Path:
    return write_pool(tmp_path / "pool", ATTEMPTS)


@pytest.fixture
def verdicts(tmp_path) -> Path:
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(to_jsonl(VERDICTS))
    return path


@pytest.fixture
def games(tmp_path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    played = [
        game(0, "a", turn("Is it up?", True), kept=True),
        game(1, "a", turn("Is it up?", False), turn("Is it red?", True), kept=False),
        game(2, "elsewhere", turn("Is it up?", False), kept=True),
    ]
    (path / "dialogs.jsonl").write_text("".join(one.line() + "\n" for one in played))
    return path


def run(capsys, *arguments: object) -> dict:
    assert tyro.cli(Share, args=[*map(str, arguments), "--json"]).run() == 0
    return json.loads(capsys.readouterr().out)


def test_the_last_verdict_and_kept_answers_stand_at_the_frames_that_they_are_about(pool, verdicts, games):
    found = [(row.camera, row.step, told) for row, told in frames(FramePool.open(pool), said(verdicts, games))]
    told = Said(VERDICTS[1], (Answered("Is it up?", True, 0.9, True), Answered("Is it red?", True, 0.9, False)))
    assert found == [
        ("front", 0, Said()),
        ("front", 9, told),
        ("side", 9, told),
        ("front", 9, Said()),
        ("side", 9, Said()),
    ]


def test_datasets_opens_images_verdicts_and_answers(pool, verdicts, games, tmp_path, capsys):
    datasets = pytest.importorskip("datasets")
    out = tmp_path / "out"
    assert run(capsys, pool, "--out", out, "--verdicts", verdicts, "--games", games)["frames"] == 5
    rows = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["outcome"] == [None, "SUCCESS", "SUCCESS", None, None]
    assert rows["success"] == [True, True, True, None, None]
    assert rows[1]["probability"] == 0.9
    assert rows[1]["judged_by"] == "tiny@2"
    assert rows[1]["answers"][0] == {"question": "Is it up?", "answer": True, "p_yes": 0.9, "kept": True}
    assert rows[3]["answers"] == []
    images = [row.image() for row in FramePool.open(pool).rows()]
    assert all((np.asarray(row["image"]) == image).all() for row, image in zip(rows, images, strict=True))


def logged(path: Path) -> dict[str, dict[int, object]]:
    """Entity to episode to what was logged, read with Rerun's own library."""
    from rerun.chunk import RrdReader

    kinds = ("EncodedImage:blob", "Scalars:scalars", "TextDocument:text")
    found: dict[str, dict[int, object]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        for row in chunk.to_record_batch().to_pylist():
            for name in row.keys() & set(kinds):
                value = row[name][0]
                found.setdefault(chunk.entity_path, {})[row["episode"]] = bytes(value) if name == kinds[0] else value
    return found


def test_rerun_opens_images_verdicts_and_answers(pool, verdicts, games, tmp_path, capsys):
    pytest.importorskip("rerun")
    out = tmp_path / "out.rrd"
    assert run(capsys, pool, "--to", "rerun", "--out", out, "--verdicts", verdicts, "--games", games)["frames"] == 5
    found = logged(out)
    rows = list(FramePool.open(pool).rows())
    assert found["/cameras/front/final"] == {0: rows[1].png, 1: rows[3].png}
    assert found["/cameras/front/before/9"] == {0: rows[0].png}
    assert found["/verdict/probability"] == {0: 0.9}
    assert "**SUCCESS**, P(success) 0.900, by tiny@2" in found["/episode"][0]
    assert "- Is it up? **yes** (0.90, kept)" in found["/episode"][0]
    assert "label: none" in found["/episode"][1]


def test_a_folder_with_something_else_in_it_is_left_alone(pool, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="something else in it"):
        write_dataset([], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_damaged_pool_leaves_the_file_of_before(pool, tmp_path):
    write_dataset(frames(FramePool.open(pool), {}), tmp_path / "out")
    before = (tmp_path / "out" / "frames.parquet").read_bytes()

    def broken():
        yield from frames(FramePool.open(pool), {})
        raise ConfigError("the pool is damaged")

    with pytest.raises(ConfigError, match="the pool is damaged"):
        write_dataset(broken(), tmp_path / "out")
    assert (tmp_path / "out" / "frames.parquet").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "frames.parquet"]


def test_verdicts_that_are_not_there_are_named(pool, tmp_path):
    with pytest.raises(ConfigError, match=r"labels\.parquet: is not there"):
        said(pool, None)
