"""`robo-dialog improve`: rounds of self-improvement on a pool without labels."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.improve.settings import RoundSettings
from robo_dialog.tune.gate_limits import Limits

if TYPE_CHECKING:
    from robo_dialog.improve.stages import Round
    from robo_dialog.tune.examples import Example

BASE = "base"
"""Folder of the detector that the first round must not be worse than."""


@dataclass(frozen=True)
class Improve:
    """Improve a model on unlabelled episodes, round after round: play, filter, tune, calibrate, export, gate.

    A round that is worse than the one before by games about held-out episodes is kept for inspection and is the last.
    Interrupted at any moment, the same command goes on. Labels are read with --episodes alone, and decide nothing.
    """

    pool: Path
    """Frame pool, made by `robo-dialog ingest`; its labels, if it has any, are not read."""
    out: Path
    """Folder of the rounds; improve.json in it says how they ended and which bundle is the best."""
    model: str = "tiny"
    """Checkpoint to begin with; `tiny` is the embedded one."""
    anchor: tuple[Path, ...] = ()
    """Parquet files of training rows of what the model can do already: replayed, and watched by the gate."""
    episodes: Path | None = None
    """Frame pool of labelled episodes, to show what the rounds are worth."""
    settings: Annotated[RoundSettings, tyro.conf.arg(name="")] = field(default_factory=RoundSettings)
    limits: Annotated[Limits, tyro.conf.arg(name="gate")] = field(default_factory=Limits)
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of a table."""

    def run(self) -> int:
        """All rounds, as far as they are not done; then the summary."""
        from robo_dialog.claims import claimed
        from robo_dialog.improve.stages import require_both_parts
        from robo_dialog.tune.examples import read_examples
        from robo_episodes.pool import FramePool, write_json

        require_both_parts(FramePool.open(self.pool), self.settings.held_out)
        anchors = read_examples(self.anchor)
        with claimed(self.out, "begun.json", self._begun_with(), {"rounds"}):
            with redirect_stdout(sys.stderr):
                found = self._rounds(anchors)
            write_json(self.out / "improve.json", found)
        self._print(found)
        return 0

    def _begun_with(self) -> dict[str, Any]:
        from robo_dialog.play.moments import digest
        from robo_episodes.pool import FramePool

        settings = asdict(self.settings)
        rounds = settings.pop("rounds")
        return {
            "pool": str(self.pool.resolve()),
            "pool_digest": digest(FramePool.open(self.pool)),
            "model": self.model,
            "anchor": [str(path.resolve()) for path in self.anchor],
            "settings": settings,
            "limits": asdict(self.limits),
            "rounds": rounds,
        }

    def _rounds(self, anchors: Sequence[Example]) -> dict[str, Any]:
        from robo_dialog.detect.manifest import Lineage
        from robo_dialog.improve.stages import Round, detector_of, shipped_bundle

        model, held_out = self.model, self.settings.held_out
        out, shipped = self.out / BASE / "bundle", shipped_bundle(model)
        bundle = detector_of(model, self.pool, out, Lineage(model), held_out, shipped)
        found: dict[str, Any] = {"base": self._measured(bundle, self.out / BASE), "rounds": [], "bundle": str(bundle)}
        for number in range(1, self.settings.rounds + 1):
            this = Round(self.out / f"round-{number}", number, model, bundle, self.model)
            found["rounds"].append(self._round(this, anchors, found["rounds"]))
            if not found["rounds"][-1]["promoted"]:
                break
            model, bundle = str(this.folder / "tuned"), this.folder / "bundle"
            found["bundle"] = str(bundle)
        return found

    def _round(self, this: Round, anchors: Sequence[Example], before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        from robo_dialog.improve.alarms import alarms
        from robo_dialog.improve.stages import export, gate, learn, play_round

        print(f"round {this.number}", file=sys.stderr)
        played = play_round(this, self.pool, self.settings)
        tuned = learn(this, self.pool, anchors, self.settings)
        played |= {"yes_share": tuned["yes_share"]}
        candidate = export(this, self.pool, self.settings)
        decision = gate(this, candidate, self.pool, anchors, self.settings, self.limits)
        return {
            "round": this.number,
            "games": played["games"],
            "kept": played["kept"],
            "talks": tuned["talks"],
            "promoted": decision["promoted"],
            "reason": decision["reason"],
            "checks": decision["checks"],
            "alarms": alarms([*(one["played"] for one in before), played]),
            "evaluation": self._measured(candidate, this.folder),
            "played": played,
        }

    def _measured(self, bundle: Path, folder: Path) -> dict[str, Any] | None:
        from robo_dialog.improve.stages import measured

        return None if self.episodes is None else measured(bundle, self.episodes, folder / "evaluation.json")

    def _print(self, found: Mapping[str, Any]) -> None:
        if self.json:
            print(jsonlib.dumps(found))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table("round", "games", "kept", "learned", "gate", "balanced accuracy", title="self-improvement")
        table.add_row("base", "", "", "", "", _accuracy(found["base"]))
        for one in found["rounds"]:
            verdict = "promoted" if one["promoted"] else f"refused: {one['reason']}"
            counts = (str(one[key]) for key in ("round", "games", "kept", "talks"))
            table.add_row(*counts, verdict, _accuracy(one["evaluation"]))
        Console().print(table)
        for one in found["rounds"]:
            for alarm in one["alarms"]:
                print(f"round {one['round']}: {alarm}", file=sys.stderr)
        print(f"the best detector: {found['bundle']}", file=sys.stderr)


def _accuracy(evaluation: Mapping[str, Any] | None) -> str:
    return "" if evaluation is None else f"{evaluation['balanced_accuracy']:.1%}"
