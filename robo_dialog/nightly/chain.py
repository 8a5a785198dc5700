"""The stages of a night, in order. Each is a command that can be given by hand, or a look at what is there.

A stage that came to its end is never done again; one that was cut off is begun anew, and the commands themselves go on
where they stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.store import VERSION_DIGITS, ModelStore
from robo_dialog.nightly import drift
from robo_dialog.nightly.intake import (
    NEW,
    POOL,
    read_statistics,
    seen_before,
    server_pools,
    write_new,
    write_pool,
    write_statistics,
)
from robo_dialog.nightly.night import Facts, Night, read_json
from robo_dialog.nightly.running import Ran, Run, checked
from robo_dialog.nightly.settings import Bounds, Budget, Options
from robo_dialog.nightly.verdicts import disagreement, successes
from robo_dialog.play.run_folder import DIALOGS, RUN
from robo_episodes.pool import write_atomically

NO_RECORDING = 3
"""Exit code of `ingest` where there is nothing that can be read."""
DECISION, ROUNDS, GATE_GAMES = "decision.json", "rounds", "gate_games"
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

    def retrain(self, window: Sequence[Night]) -> Facts:
        """From pools to a candidate, by rounds of self-improvement."""
        path = self.night.path
        self.night.once("pools", lambda: {"episodes": write_pool(self.night, [*window, self.night])})
        words = ["improve", "--pool", str(path / POOL), "--out", str(path / ROUNDS), "--model", self.night.model]
        words += ["--games", str(self.budget.games), "--rounds", str(self.budget.rounds)]
        words += ["--seed", str(self.night.number), "--json", *self.options.improve]
        return self.night.once("improve", lambda: self._run("improve", words).facts)

    def judge(self) -> Facts:
        """Whether the candidate becomes champion; if so, it is when this returns."""
        self.night.once("gate_games", self._gate_games)
        self.night.once("verdicts", self._verdicts)
        return self.night.once("promote", self._promote)

    @property
    def candidate(self) -> Path:
        """The candidate's bundle."""
        return Path(str(self._improved["bundle"]))

    @property
    def checkpoint(self) -> Path | None:
        """What the candidate was exported from; None where it is the old checkpoint with new boundaries."""
        model = self.candidate.parent / "model"
        return model if model.is_dir() else None

    @property
    def _improved(self) -> Facts:
        return self.night.done("improve") or {}

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
        pool, margins = self.night.path / POOL, self.night.path / "margins"
        both = [successes(path, pool, margins) for path in (self.candidate, self.store.path(self.night.champion))]
        return {"disagreement": disagreement(*both)}

    def _gate_games(self) -> Facts:
        """The last round's games about episodes from which nothing was learned, as a run of their own."""
        from robo_dialog.improve.settings import RoundSettings
        from robo_dialog.improve.stages import is_held_out

        rounds = self.night.path / ROUNDS
        games = rounds / f"round-{len(self._improved['rounds'])}" / "games"
        lines = (games / DIALOGS).read_text(encoding="utf-8").splitlines(keepends=True)
        share = RoundSettings().held_out
        kept = [line for line in lines if is_held_out(json.loads(line)["describer"]["episode_id"], share)]
        out = self.night.path / GATE_GAMES
        out.mkdir(exist_ok=True)
        write_atomically(out / DIALOGS, "".join(kept).encode())
        write_atomically(out / RUN, (games / RUN).read_bytes())
        return {"games": len(kept)}

    def _promote(self) -> Facts:
        path, games = self.night.path, self.night.path / GATE_GAMES
        version = read_bundle(self.candidate).manifest.digest[:VERSION_DIGITS]
        if self.store.pointers().champion == version:  # promoted, but the power went before it was noted
            there = (path / DECISION).exists()
            return read_json(path / DECISION) if there else {"promoted": False, "reason": "nothing was improved"}
        if self.checkpoint is None and not self.sources.labelled:
            # New boundaries for the old weights say the same in games, so games cannot tell whether they are worse.
            last = self._improved["rounds"][-1]
            reason = f"no round was kept: {last['reason']}"
            return {"promoted": False, "reason": reason, "candidate": version, "checks": last["checks"]}
        words = ["promote", str(self.candidate), "--store", str(self.store.root), "--games", str(games)]
        words += ["--out", str(path / DECISION), "--margins", str(path / "margins")]
        if self.sources.labelled:
            words += ["--episodes", *map(str, self.sources.labelled)]
        ran = self._run("promote", [*words, "--json", *self.options.promote], (0, KEPT))
        return ran.facts

    def _run(self, stage: str, words: Sequence[str], allowed: Sequence[int] = (0,)) -> Ran:
        log = self.night.log(stage)
        return checked(self.run(words, log), words, log, allowed)


def keep_checkpoint(chain: Chain, version: str) -> None:
    """Put the checkpoint of a new champion where the next night looks for it; done once, however often it is asked."""
    place, made = checkpoint_of(chain.work, version), chain.checkpoint or Path(chain.night.model)
    if place.exists() or not made.is_dir():
        return
    part = place.with_name(f".{version}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(made, part)
    part.replace(place)


def checkpoint_of(work: Path, version: str) -> Path:
    """Where the checkpoint of a version lies, if a night made it."""
    folder = work / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / version
