"""Labelled episodes beside what a detector made of them: the input of every figure. Reads labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.verdict import Outcome, Verdict
from robo_dialog.errors import PoolError
from robo_dialog.play.moments import Moment
from robo_dialog.play.words import Lexicon, lexicon
from robo_dialog.tune.evaluation import Judged, Seen
from robo_dialog.tune.labels import Label, read_labels
from robo_dialog.tune.margins import Margins
from robo_dialog.tune.passes import Views
from robo_dialog.tune.verdicts import verdict_on
from robo_episodes.pool import FramePool


def judged_episodes(
    pool: FramePool, views: Views, calibration: Calibration, margins: Margins, reviews: Path | None = None
) -> list[Judged]:
    """Every labelled episode in view, in the order of the pool.

    Args:
        pool: where labels are read.
        views: what was asked about.
        calibration: how margins become verdicts.
        margins: know all that `views` asks.
        reviews: see `read_labels`.

    Raises:
        PoolError: there are no labels that can be believed, or none of both classes in view.
    """
    labels, words = read_labels(pool, reviews), lexicon(outcome.instruction for outcome in views.outcomes)
    episodes = [
        _judged(outcome, labels[outcome.episode_id], words, views, calibration, margins)
        for outcome in views.outcomes
        if outcome.episode_id in labels
    ]
    if len({one.success for one in episodes}) < 2:
        raise PoolError(
            f"{pool.path}: of the {len(episodes)} labelled episodes with an instruction and a final frame, none or all "
            "are successes; add episodes of the other class, or give instructions with `ingest --instruction`"
        )
    return episodes


def _judged(
    outcome: Moment, label: Label, words: Lexicon, views: Views, calibration: Calibration, margins: Margins
) -> Judged:
    def seen(frames: Sequence[tuple[str, str]], wording: str = outcome.instruction) -> Seen:
        return _seen(verdict_on(calibration, frames, wording, margins))

    frames = list(outcome.frames.items())
    first = list(views.beginnings.get(outcome.episode_id, {}).items())
    others = views.paraphrases.others(outcome.instruction)
    return Judged(
        episode_id=outcome.episode_id,
        success=label.success,
        family=words.family(outcome.instruction),
        place=label.source,
        near_miss=label.near_miss,
        seen=seen(frames),
        cameras={camera: seen([(camera, frame_id)]) for camera, frame_id in frames},
        paraphrased=tuple(seen(frames, other).called for other in others),
        beginning=seen(first).called if first else None,
    )


def _seen(verdict: Verdict) -> Seen:
    return Seen(verdict.probability, verdict.threshold, verdict.outcome is Outcome.UNCERTAIN)
