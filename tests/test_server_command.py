"""`robo-dialog serve` as a person starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from server_fakes import serving


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from robo_dialog.cli import main; main()", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_starting_imports_no_training_library():
    code = (
        "import sys, robo_server.app, robo_server.command, robo_server.model, robo_dialog.detect.detector; "
        "print(sorted({'torch', 'transformers', 'peft', 'accelerate', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--host", "0.0.0.0"), 2, "--insecure-allow-remote"),  # noqa: S104
        (("--port", "70000"), 2, "--port 70000 is out of range"),
        (("--bundle", "nowhere", "--port", "0"), 6, "nowhere: is not a bundle folder"),
    ],
)
def test_a_wrong_option_ends_with_its_code_and_one_sentence(options, code, text):
    done = serve(*options)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_the_second_server_before_its_model_is_loaded(tmp_path):
    with serving() as served:
        port = served.address.rpartition(":")[2]
        done = serve("--port", port, "--bundle", str(tmp_path / "never read"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"robo-dialog: --port {port}: another program listens on 127.0.0.1:{port};")
    assert len(done.stderr.splitlines()) == 1
