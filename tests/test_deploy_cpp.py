"""The client in C++: built from the proto as its page says, against the real server."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest

import bundles
from conftest import REPOSITORY
from labelled_pools import level_of

CLIENT = REPOSITORY / "deploy" / "client" / "cpp"
SERVE = (sys.executable, "-c", "from robo_dialog.cli import main; main()", "serve")
PROGRAMS = ("cmake", "g++", "protoc", "grpc_cpp_plugin", "pkg-config")


def is_buildable() -> bool:
    if not all(map(shutil.which, PROGRAMS)):
        return False
    return subprocess.run(["pkg-config", "--exists", "grpc++"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(not is_buildable(), reason=f"needs Debian's packages, see {CLIENT.name}/CMakeLists.txt")


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    build = tmp_path_factory.mktemp("cpp")
    for words in (["-S", CLIENT, "-B", build], ["--build", build]):
        done = subprocess.run(["cmake", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def asked(*words):
        return subprocess.run([build / "ask", *words], capture_output=True, text=True, check=False, timeout=30)

    return asked


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    bundle = bundles.write(tmp_path_factory.mktemp("bundle") / "bundle")
    words = [*SERVE, "--bundle", bundle, "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        yield f"127.0.0.1:{json.loads(server.stdout.readline())['port']}"
        server.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("margin", "verdict", "code"), [(4.0, "VERDICT_SUCCESS", 0), (-4.0, "VERDICT_FAILURE", 1)])
def test_a_verdict_with_what_each_camera_says(ask, address, tmp_path, margin, verdict, code):
    for camera in ("front", "wrist"):
        (tmp_path / f"{camera}.png").write_bytes(bundles.png(bundles.grey(level_of(margin))))
    done = ask(address, "lift the red cube", tmp_path / "front.png", tmp_path / "wrist.png")
    assert done.returncode == code, done.stderr
    first, *cameras = done.stdout.splitlines()
    assert first.split()[0] == verdict
    assert (float(first.split()[1]) > 0.5) == (code == 0)
    assert [line.split()[0] for line in cameras] == ["front", "wrist"]


def test_what_the_server_refuses_is_told(ask, address, tmp_path):
    (tmp_path / "front.png").write_bytes(b"no image")
    done = ask(address, "lift the red cube", tmp_path / "front.png")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("3: frames[0].image")
    missing = ask(address, "lift the red cube", tmp_path / "none.png")
    assert (missing.returncode, missing.stderr) == (3, f"{tmp_path}/none.png: cannot be read\n")


def test_a_server_that_is_not_there_is_told(ask, tmp_path):
    (tmp_path / "front.png").write_bytes(bundles.png(bundles.grey(99)))
    done = ask("127.0.0.1:1", "lift the red cube", tmp_path / "front.png")
    assert done.returncode == 3
    assert done.stderr.startswith("14: ")


def test_without_an_image_the_usage_is_told(ask):
    done = ask("127.0.0.1:1", "lift the red cube")
    assert (done.returncode, done.stdout) == (3, "")
    assert "ADDRESS INSTRUCTION IMAGE..." in done.stderr
