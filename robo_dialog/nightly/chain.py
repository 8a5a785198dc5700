"""The stages of a night, in order. Each is a command that can be given by hand, or a look at what is there.

A stage that came to its end is never done again; one that was cut off is begun anew, and the commands themselves go on
where they stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.store import VERSION_DIGITS, ModelStore
from robo_dialog.detect.store_facts import descended_from, find
from robo_dialog.nightly import drift
from robo_dialog.nightly.intake import (
    HELD_OUT,
    NEW,
    POOL,
    read_statistics,
    seen_before,
    server_pools,
    write_new,
    write_pools,
    write_statistics,
)
from robo_dialog.nightly.night import Facts, Night, read_json
from robo_dialog.nightly.running import Ran, Run, checked
from robo_dialog.nightly.settings import Bounds, Budget, Options
from robo_dialog.nightly.verdicts import disagreement, successes

NO_RECORDING = 3
"""Exit code of `ingest` where there is nothing that can be read."""
DECISION = "decision.json"
KEPT = 10
"""Exit code of `promote` where the champion stays."""


@dataclass(frozen=True)
class Sources:
    """Where a night's episodes come from, and what may decide about its candidate."""

    recordings: tuple[Path, ...]
    recorded: Path | None
    labelled: tuple[Path, ...]
    """Held-out labelled episodes; nothing is ever learned from them."""


@dataclass(frozen=True)
class Chain:
    """Does the stages of one night."""

    night: Night
    work: Path
    store: ModelStore
    sources: Sources
    options: Options
    budget: Budget
    bounds: Bounds
    run: Run

    def ingest(self, others: Sequence[Night]) -> Facts:
        """Write the pool of what no other night has seen."""
        return self.night.once("ingest", lambda: self._ingest(others))

    def look(self, window: Sequence[Night]) -> Facts:
        """What the new frames look like beside those of the nights before, and what the champion says of them."""
        return self.night.once("look", lambda: self._look(window))

    def retrain(self, window: Sequence[Night]) -> bool:
        """From pools to a candidate; False if no game was worth learning from."""
        night = self.night
        night.once("pools", lambda: write_pools(night, [*window, night]))
        self._command("play", self._play(POOL, "games", self.budget.games))
        kept = self._command("filter", ["filter", str(night.path / "games"), *self.options.filter])["kept"]
        if not kept:
            return False
        self._command("tune", self._tune())
        self._command("export", self._export())
        self._command("calibrate", self._calibrate())
        return True

    def judge(self) -> Facts:
        """Whether the candidate becomes champion; if so, it is when this returns."""
        self._command("gate_play", self._play(HELD_OUT, "gate_games", self.budget.gate_games))
        self.night.once("verdicts", self._verdicts)
        return self.night.once("promote", self._promote)

    @property
    def candidate(self) -> Path:
        """The candidate's bundle."""
        return self.night.path / "calibrated" / "bundle"

    def _ingest(self, others: Sequence[Night]) -> Facts:
        intake, recordings = self.work / "intake", [str(path) for path in self.sources.recordings]
        warnings: list[object] = []
        if recordings:
            words = ["ingest", *recordings, "--out", str(intake), "--json", *self.options.ingest]
            ran = self._run("ingest", words, (0, NO_RECORDING))
            warnings = ran.facts.get("warnings", [])
        pools = [*([intake] if intake.exists() else []), *server_pools(self.sources.recorded)]
        return {"new": write_new(self.night, pools, seen_before(others)), "warnings": warnings[:20]}

    def _look(self, window: Sequence[Night]) -> Facts:
        seen, before = write_statistics(self.night), read_statistics(window)
        frames = sum(len(rows) for rows in seen.values())
        spoiled = sum(int(drift.garbage(rows).sum()) for rows in seen.values())
        known = seen.keys() & before.keys()
        return {
            "frames": frames,
            "garbage": spoiled / frames if frames else 0.0,
            "drift": max((drift.distance(seen[one], before[one]) for one in known), default=None),
            "drift_by_chance": max((drift.chance(len(seen[one]), len(before[one])) for one in known), default=None),
            "yes_share": self._yes_share(),
        }

    def _yes_share(self) -> float | None:
        if self.night.champion is None:
            return None
        bundle = self.store.path(self.night.champion)
        said = successes(bundle, self.night.path / NEW, self.night.path / "margins")
        return sum(said.values()) / len(said)

    def _verdicts(self) -> Facts:
        if self.night.champion is None:
            return {"disagreement": None}
        pool, margins = self.night.path / HELD_OUT, self.night.path / "margins"
        both = [successes(path, pool, margins) for path in (self.candidate, self.store.path(self.night.champion))]
        return {"disagreement": disagreement(*both)}

    def _promote(self) -> Facts:
        path, games = self.night.path, self.night.path / "gate_games"
        version = read_bundle(self.candidate).manifest.digest[:VERSION_DIGITS]
        if self.store.pointers().champion == version:  # promoted, but the power went before it was noted
            return read_json(path / DECISION)
        words = ["promote", str(self.candidate), "--store", str(self.store.root), "--games", str(games)]
        words += ["--out", str(path / DECISION), "--margins", str(path / "margins")]
        if self.sources.labelled:
            words += ["--episodes", *map(str, self.sources.labelled)]
        ran = self._run("promote", [*words, "--json", *self.options.promote], (0, KEPT))
        return ran.facts

    def _play(self, pool: str, out: str, games: int) -> list[str]:
        path, number = self.night.path, str(self.night.number)
        words = ["play", "--pool", str(path / pool), "--out", str(path / out), "--model", self.night.model]
        return [*words, "--games", str(games), "--seed", number, "--round", number, *self.options.play]

    def _tune(self) -> list[str]:
        path = self.night.path
        words = ["tune", str(path / "games"), "--out", str(path / "tuned"), "--model", self.night.model]
        return [*words, *self.options.tune]

    def _export(self) -> list[str]:
        path, champion = self.night.path, self.night.champion
        base = self.night.model
        if champion is not None:
            base = descended_from(find(self.store, champion).manifest.name, champion)
        words = ["export", "--model", str(path / "tuned"), "--out", str(path / "exported")]
        words += ["--name", f"night-{self.night.number:04d}", "--base", base]
        return [*words, "--pool", str(path / POOL), "--games", str(path / "games")]

    def _calibrate(self) -> list[str]:
        path = self.night.path
        words = ["calibrate", "--bundle", str(path / "exported"), "--episodes", str(path / POOL)]
        return [*words, "--out", str(path / "calibrated"), "--without-labels", *self.options.calibrate]

    def _command(self, stage: str, words: Sequence[str]) -> Facts:
        made = {"tune": "tuned", "export": "exported"}.get(stage)

        def work() -> Facts:
            if made is not None and (self.night.path / made).exists():  # whole, but the power went before it was noted
                return {"found": made}
            return self._run(stage, [*words, "--json"]).facts

        return self.night.once(stage, work)

    def _run(self, stage: str, words: Sequence[str], allowed: Sequence[int] = (0,)) -> Ran:
        log = self.night.log(stage)
        return checked(self.run(words, log), words, log, allowed)


def keep_checkpoint(night: Night, work: Path, version: str) -> None:
    """Put the checkpoint of a new champion where the next night looks for it; done once, however often it is asked."""
    place, tuned = checkpoint_of(work, version), night.path / "tuned"
    if place.exists() or not tuned.exists():
        return
    part = place.with_name(f".{version}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(tuned, part)
    part.replace(place)


def checkpoint_of(work: Path, version: str) -> Path:
    """Where the checkpoint of a version lies, if a night made it."""
    folder = work / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / version
