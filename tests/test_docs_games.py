"""docs/games.md against the code: its commands run as they stand, its table of reasons is the filters'."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest

from conftest import REPOSITORY
from robo_dialog.cli import main
from robo_dialog.play.filters import REASONS
from robo_dialog.vlm.choice import ModelChoice
from robo_dialog.vlm.scripted import ScriptedVLM
from test_play_runs import answer, say

PAGE = (REPOSITORY / "docs" / "games.md").read_text(encoding="utf-8")


def test_every_filter_is_explained_in_order():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)[: len(REASONS)] == list(REASONS)


def test_the_commands_run_as_they_stand(tmp_path, monkeypatch, capsys):
    """With a scripted model instead of `tiny`, and fewer games."""
    (tmp_path / "recordings").mkdir()
    shutil.copy(REPOSITORY / "tests" / "data" / "tabletop_source.hdf5", tmp_path / "recordings")
    monkeypatch.setattr(ModelChoice, "open", lambda choice: ScriptedVLM(answer, say))
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1]
    commands = [shlex.split(line) for line in block.replace("2000", "20").splitlines()]
    assert [command[1] for command in commands] == ["ingest", "play", "filter", "report"]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command[1:])
        assert not ended.value.code, capsys.readouterr().err
    rows = re.findall(r"^\| (`.*?) \|", PAGE.split("## What comes out")[1], re.MULTILINE)
    made = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
    assert len(made) == 7
    assert [name for name in made if not (tmp_path / "runs" / "games" / name).exists()] == []
