"""Hand-made kept dialogs, one of every pairing, on frames of one colour each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.rows import training_rows
from robo_dialog.play.views import augment

OPENING = (
    "These 3 images show attempts to put the cube on the plate. One is the target. Ask a yes/no question to find it."
)
SEED = 77


def frame(frame_id):
    """A flat 48x64 image of a colour of its own."""
    return np.full((48, 64, 3), [len(frame_id) * 10, sum(frame_id.encode()) % 256, 90], np.uint8)


def view(frame_id, augmentation=None):
    return View(frame_id, f"episode of {frame_id}", "front", 0, augmentation)


def turn(question, answer, source="sampled"):
    return DialogTurn(question, source, answer, 0.9 if answer else 0.1, 0.6, (), ())


def dialog(describer, pairing="same", **changes):
    played = Dialog(
        game_id=5,
        seed=1,
        round=2,
        model="0" * 16,
        guesser="likelihood",
        pairing=pairing,
        sampling="same_task",
        instruction="put the cube on the plate.",
        candidates=(view("one"), view("second"), view("third-one")),
        target=1,
        describer=describer,
        turns=(turn("Is the cube on the plate?", True, "instruction"), turn("Is the gripper open?", False)),
        guesses=(1, 1, 1),
        blank_guess=0,
        outcome="won",
        kept=True,
    )
    return replace(played, **changes)


PAIRINGS = {
    "same": (view("second"), "second.png", frame("second")),
    "augmented": (view("second", SEED), f"second-{SEED}.png", augment(frame("second"), SEED)),
    "cross_view": (view("second from the side"), "second from the side.png", frame("second from the side")),
}


def kept_rows(count=3):
    games = [dialog(PAIRINGS[name][0], name, game_id=number) for number, name in enumerate(PAIRINGS)]
    return training_rows(games[:count], frame)


def loaded(path: Path):
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))
