"""Images without Docker: what the Dockerfiles run and copy, and the root of the server made by the same commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
IMAGE = DEPLOY / "image"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
SCRIPTS = [*sorted(DEPLOY.rglob("*.sh")), REPOSITORY / ".ci" / "run"]
LEFT_OUT = {"huggingface-hub"}
"""tokenizers downloads from the hub with it; the server has its tokenizer in the bundle."""
CHOSEN = {"onnxruntime", "onnxruntime-gpu", "opencv-python"}
"""The script takes one that fits; OpenCV is the build without a screen."""


def tool(name: str) -> Path:
    """A program that a package installed beside this interpreter."""
    return Path(sysconfig.get_path("scripts")) / name


def names_in(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {re.split("[=<>]", line)[0] for line in lines if line}


def needed(requirement: Requirement, found: set[str]) -> set[str]:
    """Everything that a requirement brings along on a machine like this, but for what is left out."""
    name = requirement.name.lower().replace("_", "-")
    if name in LEFT_OUT:
        return found
    found.add(name)
    for extra in ("", *requirement.extras):
        for one in map(Requirement, requires(name) or []):
            applies = one.marker is None or one.marker.evaluate({"extra": extra})
            if applies and (one.name.lower().replace("_", "-") not in found or one.extras):
                needed(one, found)
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_pass_the_linter(path):
    done = subprocess.run([tool("hadolint"), path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_the_linter(path):
    done = subprocess.run([tool("shellcheck"), path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_server_image_has_every_package_that_serving_needs_and_no_other():
    assert names_in(IMAGE / "server.txt") == needed(Requirement("robo-dialog[serve]"), set()) - CHOSEN - {"robo-dialog"}


def test_versions_in_the_server_image_are_pinned():
    pinned = names_in(REPOSITORY / "constraints.txt")
    assert names_in(IMAGE / "server.txt") | {"onnxruntime", "onnxruntime-gpu", "opencv-python-headless"} <= pinned


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_dockerfiles_copy_exists_and_reaches_the_builder(path):
    text = path.read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if re.match("COPY (?!--from)", line)]
    sources = {name for line in copied for name in line}
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert [name for name in sources if not (REPOSITORY / name).exists()] == []
    assert [name for name in sources if not any(name == one or name.startswith(f"{one}/") for one in sent)] == []


def test_images_run_as_nobody_in_particular():
    for path in DOCKERFILES:
        assert re.findall(r"^USER (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)[-1] == "65532:65532"


def test_the_trainer_has_the_libraries_that_setup_asks_for():
    setup = (DEPLOY / "setup.sh").read_text(encoding="utf-8")
    wanted = set(re.findall(r'^  "\S+ (\S+) opencv-python"$', setup, re.MULTILINE))
    apt = re.search(r"--no-install-recommends (.*?) \\", (DEPLOY / "trainer.Dockerfile").read_text(encoding="utf-8"))[1]
    assert wanted == set(apt.split()) - {"wget"}  # with which KubeRay looks after its pods


LONG_S = 1800
"""For a busy machine."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The server's root as the Dockerfile makes it, but with OpenCV of PyPI: half a minute, so in CI alone."""
    if not os.environ.get("CI"):
        pytest.skip("CI=1 makes it")
    release = Path("/etc/os-release").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    if os.getuid() != 0 or "VERSION_CODENAME=bookworm" not in release or sys.version_info[:2] != (3, 11):
        pytest.skip("needs to be root on Debian 12 with Python 3.11")
    made = tmp_path_factory.mktemp("image") / "root"
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([IMAGE / "server-root.sh", made, "cpu"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return made


SEALED = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount -t tmpfs tmpfs "$1/tmp" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc"
exec "$(command -v chroot)" --userspec=65532:65532 --groups= "$@"
"""
"""Mounts as a container has them, in a namespace of their own; then the program as a user without any right."""


@pytest.mark.timeout(LONG_S)
def test_the_root_serves_as_nobody_on_a_disk_that_nobody_can_write(root):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    serve = ["robo-dialog", "serve", "--port", "0", "--json", "--log-level", "error"]
    command = ["unshare", "--mount", "bash", "-c", SEALED, "sealed", root, *serve]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            ready = json.loads(server.stdout.readline())
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
            assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.MULTILINE)
            assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
            inside = ["nsenter", "--target", str(server.pid), "--mount", "chroot", "--userspec=65532:65532", root]
            check = ["robo-dialog", "ready", "--address", f"127.0.0.1:{ready['port']}"]
            assert subprocess.run([*inside, *check], env=environment, check=False).returncode == 0
            server.terminate()
            assert server.wait() == 0
        finally:
            server.kill()


@pytest.mark.timeout(LONG_S)
def test_the_root_has_one_program_and_no_torch(root):
    programs = {
        path.name
        for place in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin")
        for path in (root / place).glob("*")
    }
    assert programs == {"python3.11", "robo-dialog"}
    packages = {path.name for path in (root / "usr/local/lib/python3.11/dist-packages").iterdir()}
    assert not packages & {"torch", "transformers", "pip", "huggingface_hub"}
