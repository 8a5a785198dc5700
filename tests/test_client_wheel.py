"""The client's own wheel: the files that it needs and no others, and a verdict with nothing else of ours in reach."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from conftest import MODULES, REPOSITORY
from server_fakes import jpeg, serving
from test_repo_imports import imported_by

PROJECT = REPOSITORY / "deploy" / "client"
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
WHOLE = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_CARRIED = {"robo_dialog.detect.detector"}
"""What a robot with the client alone is told it does not have, when it asks for it."""
ASK = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import robo_dialog.rl.asking
from robo_dialog.detect.aio import AsyncDetectorClient
from robo_dialog.detect.client import DetectorClient
image = open(sys.argv[3], "rb").read()
with DetectorClient(sys.argv[2]) as detector:
    print(detector.is_success([image], "lift it").outcome)
async def ask():
    async with AsyncDetectorClient(sys.argv[2]) as detector:
        print((await detector.is_success([image], "lift it")).outcome)
asyncio.run(ask())
places = {m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in ("robo_dialog", "robo_episodes")}
print(all(place.startswith(sys.argv[1]) for place in places))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    return next(out.glob("robo_dialog_client-*.whl"))


def test_it_carries_all_that_it_imports(wheel):
    with zipfile.ZipFile(wheel) as file:
        carried = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in file.namelist()}
    missing = {
        f"{module} imports {name}"
        for module in carried & MODULES.keys()
        for name in (imported_by(module) & MODULES.keys()) - carried - NOT_CARRIED
    }
    assert "robo_dialog.detect.client" in carried
    assert missing == set()


def test_it_asks_a_server_with_nothing_else_of_ours(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    (tmp_path / "image.jpg").write_bytes(jpeg(255))
    with serving() as served:
        command = [sys.executable, "-I", "-c", ASK, str(tmp_path / "site"), served.address, str(tmp_path / "image.jpg")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SUCCESS", "SUCCESS", "True"]


def test_it_weighs_next_to_nothing(wheel):
    assert wheel.stat().st_size < 100_000


def test_it_is_of_the_same_version_and_needs_what_the_base_install_needs(wheel):
    assert SETTINGS["project"]["dependencies"] == WHOLE["dependencies"]
    assert SETTINGS["project"]["optional-dependencies"]["rl"] == WHOLE["optional-dependencies"]["rl"]
    assert wheel.name.split("-")[1] == WHOLE["version"]
