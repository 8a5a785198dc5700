"""Kills a night at random moments and looks at what is left in the store."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import RoboDialogError
from robo_dialog.nightly.night import nights

STAGES = ("ingest", "look", "pools", "improve", "gate_games", "verdicts", "promote", "serve")
LONGEST_S = {"ingest": 4.0, "improve": 40.0, "promote": 8.0, "serve": 1.5}
"""Seconds into a stage after which it is killed at the latest; where it is over by then, the next one is hit."""
SHORT_S = 2.0
POLL_S = 0.01


@dataclass(frozen=True)
class Kill:
    """One kill that hit a night at work."""

    stage: str
    """What it was doing; `report` after the last stage."""
    partial: bool
    """Whether the store was not whole afterwards."""

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def kills(command: Sequence[str], work: Path, store: ModelStore, number: int, count: int) -> list[Kill]:
    """Start a night and kill it, again and again; those that came too late are not among the results.

    Args:
        command: the night.
        work: its folder of nights.
        store: where it publishes.
        number: of the night, from 1; also the seed.
        count: how often it is tried, in different stages while there are enough.
    """
    draw = random.Random(number)  # noqa: S311 - no secret
    stages = sorted(draw.sample(STAGES, min(count, len(STAGES))), key=STAGES.index)
    done = work / "nights" / f"{number:04d}" / "done"
    hits = (_kill(command, done, stage, draw.uniform(0, LONGEST_S.get(stage, SHORT_S))) for stage in stages)
    return [Kill(hit, not is_whole(store)) for hit in hits if hit is not None]


def is_whole(store: ModelStore) -> bool:
    """Whether every folder that has a version's name is that version, and the champion gives verdicts."""
    folders = [path for path in (store.root / "versions").iterdir() if not path.name.startswith(".")]
    try:
        Detector.load(store.path(str(store.pointers().champion)))
        return all(read_bundle(path).manifest.digest.startswith(path.name) for path in folders)
    except RoboDialogError:
        return False


def closed(work: Path) -> int:
    """How many nights came to their end."""
    return sum(night.report is not None for night in nights(work))


def _kill(command: Sequence[str], done: Path, stage: str, seconds: float) -> str | None:
    """Kill one run so many seconds into a stage; returns the stage that it hit, None if the run was over."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = STAGES[: STAGES.index(stage)]
    while child.poll() is None and not all((done / f"{one}.json").exists() for one in before):
        time.sleep(POLL_S)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        at_work = next((one for one in STAGES if not (done / f"{one}.json").exists()), "report")
        child.send_signal(signal.SIGKILL)
        return at_work if child.wait() == -signal.SIGKILL else None
    return None
