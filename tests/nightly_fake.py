"""A night's commands without models: each leaves what the real one leaves, in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

import bundles
from labelled_pools import Attempt, drawn, write_pool
from robo_dialog.detect.bundle import read_bundle, write_bundle
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.manifest import Lineage
from robo_dialog.detect.store import VERSION_DIGITS, ModelStore, Pointers
from robo_dialog.errors import OverBudgetError
from robo_dialog.nightly.command import Nightly
from robo_dialog.nightly.night import nights
from robo_dialog.nightly.running import Ran
from robo_dialog.nightly.settings import Bounds, Budget
from robo_episodes.pool import FramePool

CALM = Bounds(fewest=10, garbage=1.0, yes_share=2.0, drift=2.0, disagreement=2.0)
"""Bounds that grey test images do not reach by themselves."""


def first_night(folder: Path) -> Nightly:
    """A run with a first champion."""
    store = ModelStore.create(folder / "store")
    store.promote(store.publish(bundles.write(folder / "first")))
    budget = Budget(free_gigabytes=0, games=10)
    return Nightly(folder / "store", folder / "work", (folder / "recordings",), budget=budget, bounds=CALM)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Commands:
    """Stands for `robo-dialog` in child processes."""

    days: dict[str, list[Attempt]] = field(default_factory=dict)
    """What lies in the recordings, by day."""
    good: bool = True
    """Whether candidates are good enough."""
    good_round: bool = True
    """Whether the round that makes them is."""
    checks: list[dict[str, object]] = field(default_factory=list)
    """What the gate tells of them."""
    figures: dict[str, float] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    kill_at: int = -1
    """Number of the point at which the process dies: before a command, or after it and before it is noted."""
    fails: str = ""
    """Command that ends with an error."""
    slow: str = ""
    """Command for which the time does not suffice."""
    points: int = 0

    @classmethod
    def instead_of_children(cls, monkeypatch: pytest.MonkeyPatch) -> Commands:
        made = cls()
        monkeypatch.setattr("robo_dialog.nightly.running.in_child", lambda ends: made)
        return made

    def record(self, day: str, count: int = 40, seed: int | None = None, **changed: float) -> None:
        self.days[day] = drawn(count, seed=len(self.days) if seed is None else seed, **changed)

    def __call__(self, words: Sequence[str], log: Path) -> Ran:
        name, options = words[0], dict(pairwise(words))
        self._point()
        self.calls.append(name)
        if name == self.slow:
            raise OverBudgetError(f"{name}: was not done when the night's time was over")
        if name == self.fails:
            return Ran(5, {})
        ran = getattr(self, f"_{name}")(words, options)
        self._point()
        return ran

    def _point(self) -> None:
        self.points += 1
        if self.points == self.kill_at:
            raise Killed

    def _ingest(self, words: Sequence[str], options: dict[str, str]) -> Ran:
        attempts = [one for day in self.days.values() for one in day]
        if not attempts:
            return Ran(3, {})
        write_pool(Path(options["--out"]), attempts)
        return Ran(0, {"warnings": []})

    def _improve(self, words: Sequence[str], options: dict[str, str]) -> Ran:
        """One round, good enough or not."""
        made = Path(options["--out"]) / "round-1"
        for name in ("games", "model"):
            (made / name).mkdir(parents=True, exist_ok=True)
        ids = [one.id for one in FramePool.open(Path(options["--pool"])).episodes()]
        dialogs = [json.dumps({"describer": {"episode_id": one}}) + "\n" for one in ids]
        (made / "games" / "dialogs.jsonl").write_text("".join(dialogs))
        (made / "games" / "run.json").write_text(json.dumps({"pool": options["--pool"]}))
        (made / "model" / "model.safetensors").write_text(options["--model"])
        lineage = Lineage(base_model=options["--model"], recipe=options["--seed"])
        bundle = (made if self.good_round else made.with_name("base")) / "bundle"
        bundle.parent.mkdir(exist_ok=True)
        write_bundle(bundle, "detector", lineage, bundles.contents(Calibration(threshold=0.4)))
        played = {"games": 10, "won": 6, "kept": 5, "distinct_2": 0.2, "lucky_share": 0.25}
        played |= {"expected_lucky_share": 0.25, **self.figures}
        last = {"played": played, "alarms": [], "promoted": self.good_round, "reason": "answers less consistently"}
        last |= {"checks": self.checks}
        return Ran(0, {"bundle": str(bundle), "rounds": [last]})

    def _promote(self, words: Sequence[str], options: dict[str, str]) -> Ran:
        bundle, store = Path(words[1]), ModelStore.create(Path(options["--store"]))
        version = read_bundle(bundle).manifest.digest[:VERSION_DIGITS]
        reason = "every check passed" if self.good else "worse than the champion"
        found = {"promoted": self.good, "reason": reason, "candidate": version, "checks": self.checks}
        Path(options["--out"]).write_text(json.dumps(found))
        if self.good:
            store.publish(bundle)
            self._point()
            store.promote(version)
        return Ran(0 if self.good else 10, found)


@pytest.fixture
def commands(monkeypatch) -> Commands:
    return Commands.instead_of_children(monkeypatch)


@pytest.fixture
def nightly(tmp_path) -> Nightly:
    return first_night(tmp_path)


def report(nightly: Nightly) -> dict:
    return nights(nightly.work)[-1].report


def pointers(nightly: Nightly) -> Pointers:
    return ModelStore(nightly.store).pointers()
