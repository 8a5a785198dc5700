"""The real commands as a user starts them: help without heavy imports, bad input without a traceback."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from robo_dialog.cli import SUMMARIES

COMMANDS = sorted(point.name for point in entry_points(group="robo_dialog.commands"))
HEAVY = ["torch", "transformers", "peft", "cv2", "onnxruntime", "onnx", "h5py", "av", "pyarrow", "mujoco", "tokenizers"]

# Prints the heavy packages that `--help` loaded; a package that is imported for help makes every start slow.
HELP = f"""
import sys
from robo_dialog.cli import main
try:
    main([sys.argv[1], "--help"])
except SystemExit as ended:
    print("loaded:", sorted(set({HEAVY}) & set(sys.modules)), "code:", ended.code or 0)
"""


def start(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_every_command_has_a_summary():
    assert sorted(SUMMARIES) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_options_and_imports_nothing_heavy(command):
    done = start(HELP, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: [] code: 0"
    assert "--help" in done.stdout
