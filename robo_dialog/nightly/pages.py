"""Pages for people: one of every night, and one of all nights with their curves; the same as JSON for programs.

nights/NNNN/report.html    what came in, what was played, what was decided and why, alarms
history.html, history.json all nights in order
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from robo_dialog.nightly.night import NIGHTS, Night
from robo_dialog.pages import filled
from robo_episodes.pool import write_atomically, write_json

PAGE, HISTORY = "report.html", "history"


def write_pages(work: Path, nights: Sequence[Night]) -> None:
    """Write the page of the last night and those of all; every night is closed."""
    template = files("robo_dialog.nightly").joinpath("page.html").read_text(encoding="utf-8")
    reports = [night.report or {} for night in nights]
    last = nights[-1].path / PAGE
    write_atomically(last, filled(template, {"nights": reports[-1:], "folder": "../"}).encode())
    write_json(work / f"{HISTORY}.json", reports)
    page = filled(template, {"nights": reports, "folder": f"{NIGHTS}/"})
    write_atomically(work / f"{HISTORY}.html", page.encode())
