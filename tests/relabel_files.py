"""Recordings and commands for the tests of relabelling; the bundles of `bundles` judge frames by their brightness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import bundles
from labelled_pools import level_of
from recording_files import write_robomimic
from robo_dialog.relabel import command
from robo_dialog.relabel.command import Relabel
from robo_episodes.stages import reading

TIME = "2026-01-02T03:04:05+00:00"


def write_attempts(
    path: Path, margins: Sequence[float | tuple[float, float]], labels: str = "", instruction: str | None = "lift it"
) -> Path:
    """Write an HDF5 file with an episode a margin, or a pair of the first frame's and the last one's.

    Args:
        path: the file.
        margins: what `bundles` answers to the frames.
        labels: a letter an episode, `s` for success, `f` for failure; empty: no labels.
        instruction: of all episodes.
    """
    demos = {}
    for number, margin in enumerate(margins):
        first, last = margin if isinstance(margin, tuple) else (-9.0, margin)
        frames = [bundles.grey(level_of(one)) for one in (first, first, last)]
        frames[-1][0, 0] = (number, 7, 7)  # so that no two episodes are the same
        attrs: dict[str, object] = {} if instruction is None else {"ep_meta": json.dumps({"lang": instruction})}
        demos[f"demo_{number}"] = {
            "frames": frames,
            "attrs": attrs | ({"success": labels[number] == "s"} if labels else {}),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_robomimic(path, demos)


def digests(folder: Path) -> dict[Path, str]:
    """SHA-256 of every file below a folder."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two recordings on average, and the same time in all rows."""
    monkeypatch.setattr(reading, "SHARD_RECORDINGS", 2)
    monkeypatch.setattr(command, "now", lambda: TIME)


def relabelled(capsys: pytest.CaptureFixture[str], *sources: Path, out: Path, **options: object) -> dict:
    """Run the command; returns its JSON object."""
    assert Relabel(tuple(sources), out=out, json=True, **options).run() == 0
    found: dict = json.loads(capsys.readouterr().out)
    return found


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
