"""docs/operations.md from the first line to the last, on a machine where everything but robo-dialog is a stand-in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
import yaml

import bundles
from conftest import REPOSITORY
from robo_dialog.config import configured
from robo_dialog.detect.store import ModelStore
from robo_dialog.nightly.command import Nightly

PAGE = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
STANDINS = ("sudo", "docker", "kubectl")
RECORDS = """#!/bin/sh
echo "$(basename "$0") $*" >> "$RECORD"
"""
COMMAND = """#!{python}
import sys, tomllib
from importlib import import_module
from pathlib import Path
import tyro
from robo_dialog.config import configured

sys.path.insert(0, "{tests}")
points = tomllib.loads(Path("{repository}/pyproject.toml").read_text())["project"]["entry-points"]
module, _, kind = points["robo_dialog.commands"][sys.argv[1]].partition(":")
command, words = getattr(import_module(module), kind), sys.argv[2:]
config = Path(words.pop(words.index("--config") + 1)) if "--config" in words else None
words = [word for word in words if word != "--config"]
default = {{}} if config is None else {{"default": configured(command, config, {{}}, "X_")}}
chosen = tyro.cli(command, args=words, **default)
if sys.argv[1] == "nightly":
    import robo_dialog.nightly.running as running
    from nightly_fake import Commands
    fake = Commands()
    fake.record("monday")
    running.in_child = lambda ends: fake
if sys.argv[1] in ("export", "ready"):
    sys.exit(0)
sys.exit(chosen.run())
"""
NIGHT = """
recordings: [recordings]
store: models
work: nights
budget: {free_gigabytes: 0}
bounds: {garbage: 1.0, drift: 2.0, yes_share: 2.0}
"""


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """A folder to be in, and an environment in which commands are found."""
    programs = tmp_path / "bin"
    programs.mkdir()
    text = COMMAND.format(python=sys.executable, tests=REPOSITORY / "tests", repository=REPOSITORY)
    for name, content in [("robo-dialog", text), *((name, RECORDS) for name in STANDINS)]:
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    for name in ("deploy", "constraints.txt"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    bundles.write(tmp_path / "my-bundle")
    (tmp_path / "nightly.yaml").write_text(NIGHT)
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "RECORD": str(tmp_path / "record")}


@pytest.mark.timeout(1800)
def test_every_command_of_the_page_runs_in_its_order(machine, tmp_path):
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        store = tmp_path / "models"
        versions = ModelStore(store).versions() if store.exists() else []
        text = block.replace("VERSION", versions[0].version) if versions else block
        done = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=machine, capture_output=True, check=False)
        assert done.returncode == 0, block + done.stderr.decode()
    assert ModelStore(tmp_path / "models").pointers().previous is not None
    assert json.loads((tmp_path / "nights" / "history.json").read_text())[0]["outcome"] == "promoted"
    named = {word for word in (tmp_path / "record").read_text().split() if word.startswith("deploy/")}
    assert len(named) == 10
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_sample_configuration_is_one(tmp_path):
    sample = REPOSITORY / "deploy" / "nightly.yaml"
    night = configured(Nightly, sample, {}, "X_")
    (kubernetes,) = [
        one["data"]["nightly.yaml"]
        for one in yaml.safe_load_all((REPOSITORY / "deploy/kubernetes/base/nightly.yaml").read_text())
        if one["kind"] == "ConfigMap"
    ]
    (tmp_path / "nightly.yaml").write_text(kubernetes)
    inside = configured(Nightly, tmp_path / "nightly.yaml", {}, "X_")
    assert (inside.store, inside.work, inside.recorded) == (night.store, night.work, night.recorded)
    assert tyro.cli(Nightly, args=[], default=night) == night


def test_every_comment_of_the_sample_configuration_is_an_option_too(tmp_path):
    text = (REPOSITORY / "deploy" / "nightly.yaml").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") for line in text.splitlines()[1:]]
    (tmp_path / "all.yaml").write_text("\n".join(lines))
    night = configured(Nightly, tmp_path / "all.yaml", {}, "X_")
    assert night.tell.webhook == "https://example.org/alarms"
    assert night.options.improve == ("--tune.steps", "200")
    assert night.labelled == (Path("/var/lib/robo-dialog/labelled"),)


def test_every_alarm_is_in_the_table():
    folder = REPOSITORY / "robo_dialog" / "nightly"
    source = "".join((folder / name).read_text(encoding="utf-8") for name in ("alarms.py", "course.py"))
    rings = set(re.findall(r'alarm="(\w+)"', source)) | set(
        re.findall(r'(?:Alarm|_above|_moved)\(\s*(?:now,\s*)?(?:before,\s*)?"(\w+)"', source)
    )
    section = PAGE[PAGE.index("**Alarms.**") : PAGE.index("`tell.webhook`")]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == rings


def test_every_stage_is_in_the_table():
    source = (REPOSITORY / "robo_dialog" / "nightly" / "chain.py").read_text(encoding="utf-8")
    course = (REPOSITORY / "robo_dialog" / "nightly" / "course.py").read_text(encoding="utf-8")
    stages = set(re.findall(r'once\("(\w+)"', source + course))
    section = PAGE[PAGE.index("## What a night does") : PAGE.index("| exit code |")]
    told = {
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert told == stages - {"verdicts"}
