"""Nights that are killed, fail, have no time or space, or are started twice."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nightly_fake import Killed, commands, nightly, pointers, report
from robo_dialog.cli import main
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.store import ModelStore, Pointers
from robo_dialog.errors import NightlyError, OverBudgetError
from robo_dialog.nightly.night import nights
from robo_dialog.nightly.running import Ran, checked, in_child
from robo_dialog.nightly.settings import Budget

__all__ = ["commands", "nightly"]


def test_a_stage_that_fails_again_and_again_does_not_stand_in_the_way(nightly, commands):
    commands.record("monday")
    commands.fails = "improve"
    for _ in range(2):
        with pytest.raises(NightlyError, match="improve: ended with 5"):
            nightly.run()
    assert nightly.run() == 10
    assert [alarm["code"] for alarm in report(nightly)["alarms"]] == ["failed"]
    commands.fails = ""
    commands.record("tuesday")
    assert nightly.run() == 0


def test_a_night_whose_time_is_over_keeps_the_champion_and_says_so(nightly, commands):
    commands.record("monday")
    commands.slow = "improve"
    assert nightly.run() == 10
    assert [alarm["code"] for alarm in report(nightly)["alarms"]] == ["over_budget"]
    commands.slow = ""
    commands.record("tuesday")
    assert nightly.run() == 0


def test_killed_at_any_point_a_night_goes_on_to_the_same_end(nightly, commands, tmp_path):
    commands.record("monday")
    assert nightly.run() == 0
    points, wanted = commands.points, pointers(nightly).champion
    assert points >= 7
    for point in range(1, points + 1):
        place = tmp_path / f"killed-{point}"
        store = ModelStore.create(place / "store")
        first = store.publish(tmp_path / "first")
        store.promote(first)
        again = replace(nightly, store=place / "store", work=place / "work")
        commands.kill_at, commands.points, commands.calls = point, 0, []
        with pytest.raises(Killed):
            again.run()
        for version in store.versions():
            Detector.load(store.path(version.version))  # whole, whatever happened
        assert store.pointers().champion in (first, wanted)
        commands.kill_at = -1
        assert again.run() == 0, point
        assert store.pointers() == Pointers(wanted, first)
        assert len(nights(again.work)) == 1
        assert commands.calls.count("promote") <= 2


def test_two_nights_at_once_one_runs_and_the_other_says_so_and_exits(nightly, commands, capsys):
    words = ["nightly", "--store", str(nightly.store), "--work", str(nightly.work), "--recordings", "recordings"]

    def other(words_of_stage, log) -> Ran:
        """Every command of the one gives the other a try."""
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 9
        assert "another nightly run is at work" in capsys.readouterr().err
        return commands(words_of_stage, log)

    commands.record("monday")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robo_dialog.nightly.running.in_child", lambda ends: other)
        assert nightly.run() == 0
    assert commands.calls == ["ingest", "improve", "promote"]
    assert len(nights(nightly.work)) == 1


def test_a_full_disk_is_told_before_anything_is_begun(nightly, commands):
    with pytest.raises(NightlyError, match="GB are free"):
        replace(nightly, budget=Budget(free_gigabytes=1e9)).run()
    assert commands.calls == []


def test_a_command_in_a_child_prints_its_facts_and_its_failure_is_quoted(tmp_path):
    run, log = in_child(time.monotonic() + 600), tmp_path / "log"
    store = ModelStore.create(tmp_path / "store")
    assert run(["models", "list", str(store.root), "--json"], log).facts["models"] == []
    words = ["models", "show", str(store.root)]
    with pytest.raises(NightlyError, match="has no champion yet"):
        checked(run(words, log), words, log)
    with pytest.raises(OverBudgetError):
        in_child(time.monotonic())(words, log)


ORPHAN = """
import sys, time
from pathlib import Path
from robo_dialog.nightly import running
SLEEPER = "import os, time; print(os.getpid(), file=open('pid', 'w'), flush=True); time.sleep(600)"
running._PROGRAM = (sys.executable, "-c", SLEEPER)
running.in_child(time.monotonic() + 600)(["sleep"], Path("log"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_command_does_not_outlive_a_night_that_was_killed(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], cwd=tmp_path)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
    child = Path("/proc") / (tmp_path / "pid").read_text().strip()
    parent.kill()
    parent.wait()
    while child.exists() and (child / "stat").read_text().split()[2] != "Z":
        pass
