"""`robo-dialog tune` in two processes that `accelerate launch` starts: the same command, one checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("peft")

from test_tune_command import margins, rows

__all__ = ["rows"]

PROGRAM = "from robo_dialog.cli import main\n\nif __name__ == '__main__':\n    main()\n"
# `--multi_gpu` is how accelerate calls several processes on one machine; where there is no GPU, they share the cores.
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
QUICK = "--steps 12 --batch 6 --rank 8 --alpha 16 --rate 1e-2 --held-out 0 --augmented 0 --questions 2"


def launched(tmp_path, *arguments):
    """Run the program as its users do: `accelerate launch $(command -v robo-dialog) tune ...`."""
    program = tmp_path / "robo-dialog"
    program.write_text(PROGRAM)
    command = [sys.executable, *LAUNCH, "--mixed_precision", "no", "--dynamo_backend", "no", program, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_two_processes_learn_what_one_does_and_write_one_checkpoint(rows, tmp_path):
    done = launched(tmp_path, "tune", rows, "--out", tmp_path / "tuned", "--json", *QUICK.split())
    assert done.returncode == 0, done.stderr[-3000:]
    (told,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"checkpoint"')]
    assert (told["examples"], told["steps"]) == (12, 12)
    after = margins(tmp_path / "tuned")
    assert after[0] > 0 > after[1]
    assert not (tmp_path / "tuned.work").exists()


def test_a_step_that_two_processes_cannot_share_is_refused(rows, tmp_path):
    done = launched(tmp_path, "tune", rows, "--out", tmp_path / "tuned", *QUICK.replace("6", "5", 1).split())
    assert done.returncode != 0
    assert "batch 5 cannot be cut into 2 equal parts for 2 processes" in done.stderr
    assert not (tmp_path / "tuned").exists()
