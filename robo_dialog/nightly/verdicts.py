"""What a bundle says of every episode of a pool, by the code that serves; no label is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robo_dialog.detect.detector import Detector
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.tune.verdicts import verdict_on
from robo_episodes.pool import FramePool


def successes(bundle: Path, pool: Path, margins: Path) -> dict[str, bool]:
    """Whether success is the likelier side, by episode.

    Args:
        bundle: the detector.
        pool: frames.
        margins: folder where margins are kept, so that no question is asked twice.

    Raises:
        BundleError: the bundle is damaged.
        PoolError: no final frame has an instruction.
    """
    judge = BundleJudge(Detector.load(bundle))
    frames = FramePool.open(pool)
    views = replace(views_of(frames), beginnings={})
    with looked(judge, frames, views, judge.calibration, margins, bundle.name) as known:
        verdicts = {
            one.episode_id: verdict_on(judge.calibration, list(one.frames.items()), one.instruction, known)
            for one in views.outcomes
        }
    return {episode: one.probability >= one.threshold for episode, one in verdicts.items()}


def disagreement(first: dict[str, bool], second: dict[str, bool]) -> float:
    """Share of the episodes of both on which they differ; 0 if they have none in common."""
    common = first.keys() & second.keys()
    return sum(first[one] != second[one] for one in common) / len(common) if common else 0.0
