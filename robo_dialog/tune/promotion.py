"""From two bundles to the evidence of the gate: held-out episodes, with labels if there are any, games, anchor rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robo_dialog.detect.detector import Detector
from robo_dialog.detect.verdict import Frame, Request
from robo_dialog.errors import BundleError, PoolError
from robo_dialog.play.dialog import Dialog
from robo_dialog.play.frames import FrameStore
from robo_dialog.tune.evaluation import Judged
from robo_dialog.tune.evidence import Evidence, Sides, Stance
from robo_dialog.tune.examples import Example
from robo_dialog.tune.gathering import both, recalled_by, replayed_by, seconds_of, stances
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.labels import read_labels
from robo_dialog.tune.passes import Views, looked, views_of
from robo_episodes.pool import FramePool


@dataclass(frozen=True)
class Games:
    """Games of a run and the pool that they were played over."""

    pool: FramePool
    dialogs: Sequence[Dialog]
    """With at least one turn each."""


@dataclass(frozen=True)
class Grounds:
    """What a decision is to rest on; the candidate must not have learned from any of it."""

    pool: FramePool | None = None
    games: Games | None = None
    anchor: Sequence[Example] = ()
    cameras: tuple[str, ...] = ()
    """Only these of the pool; empty: all."""
    augmentations: int = 1
    margins: Path | None = None
    """Folder of margins; None: none are kept."""


@dataclass(frozen=True)
class Gathered:
    """Evidence, and what it lacks."""

    evidence: Evidence
    labels: str
    """Why labels do not count; empty if they do, or no episodes were given."""


def gather(candidate: Path, champion: Path | None, grounds: Grounds) -> Gathered:
    """Show both bundles the same things.

    Args:
        candidate: folder of its bundle; one that cannot be loaded is evidence, too.
        champion: folder of its bundle, if there is one.
        grounds: what to show.

    Raises:
        BundleError: the champion cannot be loaded.
        ModelError: a bundle takes no questions but the one about success, and there are games or anchor rows.
        PoolError: a pool does not fit.
    """
    theirs = None if champion is None else BundleJudge(Detector.load(champion))
    try:
        mine = BundleJudge(Detector.load(candidate))
    except BundleError as error:
        return Gathered(Evidence(parity=str(error)), "")
    labelled, outcomes, labels = None, None, ""
    if grounds.pool is not None:
        views = views_of(grounds.pool, grounds.cameras, augmentations=grounds.augmentations)
        labels = _why_no_labels(grounds.pool, views)
        labelled, outcomes = _episodes(mine, theirs, grounds.pool, views, grounds.margins, labelled=not labels)
    games, anchor = None, None
    if grounds.games is not None:
        games = replayed_by(mine, theirs, grounds.games.pool, grounds.games.dialogs)
        if outcomes is None:
            views = _targets(grounds.games, grounds.augmentations)
            _, outcomes = _episodes(mine, theirs, grounds.games.pool, views, grounds.margins, labelled=False)
    if grounds.anchor:
        anchor = both(lambda judge: recalled_by(judge, grounds.anchor), mine, theirs)
    request = _request(grounds)
    seconds = seconds_of(mine.detector, theirs.detector, request) if theirs and request else None
    return Gathered(Evidence("", labelled, games, outcomes, anchor, seconds), labels)


def _episodes(
    mine: BundleJudge, theirs: BundleJudge | None, pool: FramePool, views: Views, folder: Path | None, *, labelled: bool
) -> tuple[Sides[Judged] | None, Sides[Stance]]:
    views = replace(views, beginnings={})
    judged: list[list[Judged]] = []
    stood: list[list[Stance]] = []
    for name, judge in (("candidate", mine), ("champion", theirs)):
        if judge is None:
            continue
        with looked(judge, pool, views, judge.calibration, folder, f"episodes, {name}") as margins:
            stood.append(stances(views, judge.calibration, margins))
            if labelled:
                judged.append(judged_episodes(pool, views, judge.calibration, margins))
    return Sides(*judged) if judged else None, Sides(*stood)


def _targets(games: Games, augmentations: int) -> Views:
    """Outcomes that games are about: no game tells whether thresholds are right."""
    views, wanted = (
        views_of(games.pool, augmentations=augmentations),
        {one.describer.episode_id for one in games.dialogs},
    )
    return replace(views, outcomes=[one for one in views.outcomes if one.episode_id in wanted])


def _why_no_labels(pool: FramePool, views: Views) -> str:
    try:
        labels = read_labels(pool)
    except PoolError as error:
        return str(error)
    seen = {labels[one.episode_id].success for one in views.outcomes if one.episode_id in labels}
    return "" if len(seen) == 2 else f"{pool.path}: the labelled episodes in view are not of both classes"


def _request(grounds: Grounds) -> Request | None:
    """Something to measure the time with."""
    if grounds.pool is not None:
        store, outcome = FrameStore(grounds.pool), views_of(grounds.pool, grounds.cameras).outcomes[0]
        return Request([Frame(store.png(one), camera) for camera, one in outcome.frames.items()], outcome.instruction)
    if grounds.games is not None:
        store, game = FrameStore(grounds.games.pool), grounds.games.dialogs[0]
        return Request([store.png(game.describer.frame_id)], game.instruction)
    return None
