"""docs/relabel.md against the code: its commands run as they stand, its columns, files and options exist."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from conftest import REPOSITORY
from robo_dialog.cli import main
from robo_dialog.models import embedded_bundle
from robo_dialog.relabel.command import Relabel
from robo_dialog.review.command import Review
from robo_dialog.tune.evaluate_command import Evaluate
from robo_episodes.reading_choice import ReadingChoice
from robo_episodes.stages.choice import ExecutorChoice

COMMANDS = (Relabel, Review, Evaluate, ReadingChoice, ExecutorChoice)
PAGE = (REPOSITORY / "docs" / "relabel.md").read_text(encoding="utf-8")


def test_every_option_that_is_named_exists():
    known = {one.name.replace("_", "-") for kind in COMMANDS for one in fields(kind)}
    assert set(re.findall(r"`--([a-z-]+)", PAGE)) <= known


def test_the_commands_run_as_they_stand(tmp_path, monkeypatch, capsys):
    (tmp_path / "recordings").mkdir()
    shutil.copy(REPOSITORY / "tests" / "data" / "tabletop_source.hdf5", tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1]
    commands = [shlex.split(line)[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["relabel", "relabel", "annotate"]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code, capsys.readouterr().err
    files = [name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)]
    assert len(files) == 5
    assert [name for name in files if not (tmp_path / "labels" / name).exists()] == []
    assert list((tmp_path / "beside").rglob("*.verdicts.jsonl"))


def test_reviews_of_the_page_are_taken_by_evaluate(tmp_path, monkeypatch, capsys):
    """With a decision instead of a browser."""
    (tmp_path / "recordings").mkdir()
    shutil.copy(REPOSITORY / "tests" / "data" / "tabletop_source.hdf5", tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    Relabel((Path("recordings"),), out=Path("labels"), json=True).run()
    review, evaluate = (
        shlex.split(line)[2:] for line in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    )
    with Review(Path(review[0]), browser=False)._server() as server:
        assert len(server.rows) == 6
        server.decisions.add(server.rows[0], "no")
    (tmp_path / "bundle").symlink_to(embedded_bundle())
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *evaluate, "--draws", "10"])
    assert not ended.value.code, capsys.readouterr().err
