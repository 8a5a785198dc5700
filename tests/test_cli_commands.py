"""The real commands as a user starts them: help without heavy imports, bad input without a traceback."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from robo_dialog.cli import SUMMARIES, main

COMMANDS = sorted(point.name for point in entry_points(group="robo_dialog.commands"))
NUMBERS = ["numpy", "cv2", "onnxruntime", "onnx", "h5py", "av", "pyarrow", "mujoco"]
HEAVY = [*NUMBERS, "torch", "transformers", "peft", "tokenizers", "grpc", "google.protobuf", "yaml", "rich"]

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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("inspect absent.hdf5", 3),
        ("ingest absent.hdf5 --out pool", 3),
        ("ingest . --out .", 4),
        ("detect absent.png --task lift", 2),
        ("detect text.png --task lift --bundle absent", 6),
        ("export --model absent --out bundle", 5),
        ("simulate --out x.hdf5 --episodes 0", 2),
        ("serve --bundle absent", 6),
        ("serve --port 99999", 2),
        ("serve --host 0.0.0.0", 2),
        ("demo --episodes 0", 2),
        ("demo --domains moon", 2),
        ("inspect --no-such-option", 2),
        ("serve --config absent.yaml", 2),
    ],
)
def test_bad_input_ends_with_its_exit_code_and_leaves_nothing_behind(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not an image", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    out, err = capsys.readouterr()
    assert ended.value.code == code, err
    assert err
    assert not out
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]
