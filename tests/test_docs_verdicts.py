"""docs/verdicts.md against the code: its commands run as they stand, its options and checks exist."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields, replace

import pytest

import bundles
from conftest import REPOSITORY
from labelled_pools import drawn, write_pool
from robo_dialog.cli import main
from robo_dialog.tune.calibrate_command import Calibrate
from robo_dialog.tune.conformal import fewest
from robo_dialog.tune.evaluate_command import Evaluate
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.gate_rules import LIKELY
from robo_dialog.tune.heaps import FEWEST
from robo_dialog.tune.labelled import Wanted
from robo_dialog.tune.precision import CONFIDENCE
from robo_dialog.tune.promote_command import KEPT, Promote
from robo_dialog.tune.subjects import JudgeChoice

PAGE = (REPOSITORY / "docs" / "verdicts.md").read_text(encoding="utf-8")


def test_every_option_that_is_named_exists():
    kinds = (Calibrate, Evaluate, Promote, Limits, JudgeChoice)
    known = {one.name.replace("_", "-") for kind in kinds for one in fields(kind)}
    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) <= known


def test_numbers_are_those_of_the_code():
    assert f"if there are {FEWEST} episodes" in PAGE
    assert f"with {Wanted().task_minimum} of each class gets its own" in PAGE
    assert f"fewer than\n  {fewest(0.05)} held-out episodes" in PAGE
    assert f"at {CONFIDENCE:.0%} confidence".replace("%", " %") in PAGE
    assert f"(p > {LIKELY:g})" in PAGE
    assert f"{KEPT} that the champion was kept" in PAGE


def test_the_commands_run_as_they_stand(tmp_path, monkeypatch, capsys):
    """On episodes of a lab whose margins are all four too low."""
    bundles.write(tmp_path / "runs" / "bundle")
    unlabelled = [replace(one, success=None) for one in drawn(200, shift=-4.0, spread=1.5)]
    write_pool(tmp_path / "lab", unlabelled)
    write_pool(tmp_path / "held-out", drawn(120, shift=-4.0, spread=1.5, seed=5))
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1]
    commands = [shlex.split(line)[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["calibrate", "evaluate", "promote"]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code, capsys.readouterr().err
    evaluated = json.loads((tmp_path / "runs" / "evaluated" / "evaluate.json").read_text())
    assert evaluated["balanced_accuracy"] > evaluated["against"]["balanced_accuracy"] + 0.1
    (decision,) = (tmp_path / "runs" / "store" / "decisions").iterdir()
    names = [one["name"] for one in json.loads(decision.read_text())["checks"]]
    assert {name.split(" '")[0] for name in names} <= set(re.findall(r"`([a-z ]+)`", PAGE))
