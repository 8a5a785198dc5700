"""`deploy/setup.sh` on machines that lack something, played by a small fake interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import REPOSITORY

# A stand-in for python3: VERSION is what it says of itself, LACKS the libraries and modules that it cannot load.
FAKE = """#!/bin/sh
case "$*" in
  -V) echo "Python $VERSION" ;;
  *"version_info <"*) [ "$VERSION" != 3.9.2 ] ;;
  *"%d.%d"*) echo "${VERSION%.*}" ;;
  *ensurepip*) case " $LACKS " in *" venv "*) exit 1 ;; esac ;;
  *ctypes*) for last in "$@"; do :; done; case " $LACKS " in *" $last "*) exit 1 ;; esac ;;
  "-m venv"*) echo "venv was made" >&2; exit 9 ;;
esac
"""

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems need no packages")


@pytest.fixture
def checkout(tmp_path):
    """A copy of what setup.sh reads, with the fake interpreter beside it."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(REPOSITORY / "deploy" / "setup.sh", tmp_path / "deploy")
    fake = tmp_path / "python3"
    fake.write_text(FAKE, encoding="utf-8")
    fake.chmod(0o755)
    return tmp_path


def setup(checkout: Path, *options: str, version: str = "3.12.1", lacks: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(checkout / "deploy" / "setup.sh"), *options],
        env={**os.environ, "PYTHON": str(checkout / "python3"), "VERSION": version, "LACKS": lacks},
        capture_output=True,
        text=True,
        check=False,
    )


def test_too_old_python_is_refused_with_the_remedy(checkout):
    done = setup(checkout, version="3.9.2")
    assert done.returncode == 1
    assert "Python 3.9.2 is too old" in done.stderr
    assert "PYTHON=" in done.stderr


def test_missing_libraries_give_one_line_that_installs_them_all(checkout):
    done = setup(checkout, lacks="libGL.so.1 libEGL.so.1")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "apt-get install" in line]
    assert len(lines) == 1
    assert lines[0].endswith("apt-get install -y libgl1 libegl1")
    assert "venv was made" not in done.stderr


def test_missing_venv_module_names_the_package_of_that_python(checkout):
    assert "apt-get install -y python3.12-venv" in setup(checkout, lacks="venv").stderr


def test_missing_option_prints_packages_only_and_installs_nothing(checkout):
    done = setup(checkout, "--missing", lacks="libOpenGL.so.0 libxcb.so.1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "libxcb1 libopengl0\n", "")
    assert setup(checkout, "--missing").stdout.strip() == ""


def test_interrupted_installation_leaves_no_stamp(checkout):
    done = setup(checkout)
    assert done.returncode == 9
    assert "venv was made" in done.stderr
    assert not (checkout / ".venv" / ".setup-stamp").exists()


def test_every_pinned_package_is_pinned_exactly_once():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line and not line.startswith("#")]
    names = [pin.split("==")[0] for pin in pins]
    assert all(pin.count("==") == 1 for pin in pins)
    assert len(names) == len(set(names))
