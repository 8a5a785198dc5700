"""The stages of a round, each a function from files to files: what is there already is not made again.

round-1/games/             a run of `play`
round-1/tuned/             the tuned checkpoint, with which the next round begins
round-1/model/             its average with the checkpoint that the run began with
round-1/bundle/            the detector of that, calibrated without labels on episodes that nothing was learned from
round-1/gate.json          whether it replaces the one of before, and why
round-1/evaluation.json    figures on labelled episodes, if there are any; decides nothing
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.manifest import MANIFEST, Lineage
from robo_dialog.errors import PoolError
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.models import embedded_bundle, embedded_model
from robo_dialog.play.dialog import Dialog, dialogs_digest, read_dialogs
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import digest, read_moments
from robo_dialog.play.play_command import Play
from robo_dialog.play.rows import describer_rows, training_rows
from robo_dialog.play.run_folder import DIALOGS, SUMMARY, read_json
from robo_dialog.tune.averaging import average
from robo_dialog.tune.evaluation import evaluate
from robo_dialog.tune.evaluation_report import Evaluated
from robo_dialog.tune.examples import Example, examples_of
from robo_dialog.tune.export import export_bundle
from robo_dialog.tune.gate import decide
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.tune.promotion import Games, Grounds, gather
from robo_dialog.tune.recalibrate import recalibrated
from robo_dialog.tune.training import tune
from robo_dialog.tune.unlabelled import calibrate_without_labels
from robo_dialog.vlm.choice import ModelChoice
from robo_episodes.pool import FramePool, write_json

GATE = "gate.json"
TUNING = "tuning.json"


@dataclass(frozen=True)
class Round:
    """One round: its folder, number from 1, the checkpoint that it begins with, the detector of before, and the
    checkpoint that the run began with."""

    folder: Path
    number: int
    model: str
    champion: Path
    start: str


def is_held_out(episode_id: str, share: float) -> bool:
    """Whether nothing is learned from an episode: depends on its id alone, so it is the same in every round."""
    drawn = int.from_bytes(hashlib.sha256(episode_id.encode()).digest()[:6], "big") / 2**48
    return drawn < share


def require_both_parts(pool: FramePool, held_out: float) -> None:
    """Refuse a pool of which nothing would be held out, or everything.

    Raises:
        PoolError: so it is, or no frame can be played with.
    """
    episodes = {one.episode_id for one in read_moments(pool) if one.final}
    held = sum(is_held_out(one, held_out) for one in episodes)
    if not 0 < held < len(episodes):
        raise PoolError(
            f"{pool.path}: {held} of its {len(episodes)} episodes with an instruction are held out (--held-out "
            f"{held_out:g}); some must be, and some must not: change the share, or ingest more episodes"
        )


def play_round(this: Round, pool: Path, settings: RoundSettings) -> dict[str, Any]:
    """Play the round's games, as far as they are not played; the summary of the run."""
    out = this.folder / "games"
    if not (out / SUMMARY).exists():
        Play(
            pool,
            out,
            games=settings.games,
            seed=settings.seed + this.number,
            round=this.number,
            vlm=ModelChoice(this.model),
            settings=settings.play,
        ).run()
    return read_json(out / SUMMARY)


def learn(this: Round, pool: Path, anchors: Sequence[Example], settings: RoundSettings) -> dict[str, Any]:
    """Tune on the kept dialogs about episodes that are not held out."""
    out = this.folder / "tuned"
    if not out.exists():
        kept = [
            dialog
            for dialog in read_dialogs(this.folder / "games" / DIALOGS)
            if dialog.kept and not is_held_out(dialog.describer.episode_id, settings.held_out)
        ]
        image_of = lru_cache(maxsize=16)(FrameStore(FramePool.open(pool)).image)
        # A Guesser that judges candidates one by one has nothing to learn but what the Describer learns.
        rows = training_rows if any(dialog.guesser == "prompt" for dialog in kept) else describer_rows
        tune_on(examples_of(rows(kept, image_of)), this.model, out, anchors, settings)
    return read_json(out / TUNING)


def settle(this: Round, settings: RoundSettings) -> Path:
    """The round's checkpoint: tuned, and averaged with the one that the run began with."""
    out = this.folder / "model"
    if not out.exists():
        part = out.with_name(f"{out.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        average(_checkpoint(this.start), this.folder / "tuned", part, settings.start_share)
        part.replace(out)
    return out


def _checkpoint(model: str) -> str | Path:
    return embedded_model() if model == "tiny" else model


def tune_on(
    examples: Sequence[Example], model: str, out: Path, anchors: Sequence[Example], settings: RoundSettings
) -> None:
    """Tune a checkpoint on examples; `out` appears whole, and an interrupted run goes on.

    A file in it says what tuning tells, and the share of "yes" among the answers.
    """
    work = out.with_name(f"{out.name}.work")
    merged = work / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    tuned = tune(_checkpoint(model), examples, anchors, settings.tune, work=work / "checkpoints", out=merged)
    said = [talk.messages[-1][1] for one in examples if one.role == "describer" for talk in one.talks]
    write_json(merged / TUNING, {"model": model, **vars(tuned), "yes_share": said.count("yes") / len(said)})
    merged.replace(out)
    shutil.rmtree(work)


def shipped_bundle(model: str) -> Path | None:
    """The detector that a model is shipped as; None where there is none."""
    return embedded_bundle() if model == "tiny" else None


def detector_of(
    model: str, pool: Path, out: Path, lineage: Lineage, held_out: float, shipped: Path | None = None
) -> Path:
    """The bundle of a checkpoint, calibrated without labels on the outcomes of the pool that nothing was learned from.

    A model as it is `shipped` has learned from none, so all are looked at, and where they show no boundary of success
    that of its own bundle stays. A tuned model's boundary is at even odds, where the answers turned that it has
    learned.
    """
    if (out / MANIFEST).exists():
        return out
    plain = out.with_name(f"{out.name}.plain")
    if not (plain / MANIFEST).exists():
        export_bundle(Path(_checkpoint(model)), plain, lineage=lineage, name="detector")
    before = Detector.load(shipped).calibration if shipped else Calibration()
    judge, frames = BundleJudge(Detector.load(plain)), FramePool.open(pool)
    views = views_of(frames, augmentations=1)
    seen = [one for one in views.outcomes if shipped or is_held_out(one.episode_id, held_out)]
    views = replace(views, outcomes=seen, beginnings={})
    with looked(judge, frames, views, before, None, "boundaries of success") as margins:
        calibration = calibrate_without_labels(views, before, margins).calibration
    recalibrated(plain, calibration, out)
    shutil.rmtree(plain)
    return out


def export(this: Round, pool: Path, settings: RoundSettings) -> Path:
    """The round's detector."""
    dialogs = dialogs_digest(this.folder / "games" / DIALOGS)
    told = {"round": this.number, "steps": settings.tune.steps, "games": settings.games}
    recipe = json.dumps({**told, "start": this.start, "start_share": settings.start_share})
    lineage = Lineage(this.model, digest(FramePool.open(pool)), dialogs, recipe)
    return detector_of(str(settle(this, settings)), pool, this.folder / "bundle", lineage, settings.held_out)


def gate(
    this: Round, candidate: Path, pool: Path, anchors: Sequence[Example], settings: RoundSettings, limits: Limits
) -> dict[str, Any]:
    """Whether the candidate replaces the champion, by games about held-out episodes; no label is read."""
    path = this.folder / GATE
    if not path.exists():
        games = [dialog for dialog in read_dialogs(this.folder / "games" / DIALOGS) if _may_decide(dialog, settings)]
        held_out = Games(FramePool.open(pool), games[: settings.gate_games]) if games else None
        grounds = Grounds(games=held_out, anchor=anchors)
        decision = decide(gather(candidate, this.champion, grounds).evidence, limits)
        write_json(path, decision.as_json())
    return read_json(path)


def measured(bundle: Path, episodes: Path, out: Path) -> dict[str, Any]:
    """Figures of a bundle on labelled episodes; these are for people and decide nothing.

    They are measured anew where those that are there are of other episodes, labels or weights.
    """
    pool = FramePool.open(episodes)
    of = {"bundle_digest": read_bundle(bundle).manifest.digest, "episodes_digest": pool.digest()}
    if not out.exists() or not of.items() <= read_json(out).items():
        judge = BundleJudge(Detector.load(bundle))
        views = replace(views_of(pool), beginnings={})
        with looked(judge, pool, views, judge.calibration, None, "labelled episodes") as margins:
            judged = judged_episodes(pool, views, judge.calibration, margins)
        found = Evaluated(str(bundle), judge.identity, judge.calibration.method, digest(pool), judged, evaluate(judged))
        write_json(out, {**found.as_json(), **of})
    return read_json(out)


def _may_decide(dialog: Dialog, settings: RoundSettings) -> bool:
    finished = dialog.outcome != "aborted" and bool(dialog.turns)
    return finished and is_held_out(dialog.describer.episode_id, settings.held_out)
