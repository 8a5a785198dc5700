"""The committed protobuf code is what the .proto gives, and the .proto keeps to buf's rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_committed_code_is_what_the_generator_writes(repository: Path, tmp_path: Path):
    subprocess.run([sys.executable, repository / "protos" / "generate.py", tmp_path], check=True)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(generated) == 9
    assert generated == {name: (repository / name).read_bytes() for name in generated}


def test_proto_passes_buf_lint(repository: Path):
    buf = Path(sys.executable).with_name("buf")
    if not buf.exists():
        pytest.skip("buf-bin is not installed")
    done = subprocess.run([buf, "lint", "protos"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
