"""Evidence for the gate that needs no label: games, agreement of views, the anchor set, latency.

Each function shows the same things to one or both detectors. Knows no label.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.image import decode_rgb
from robo_dialog.detect.verdict import Request, Verdict
from robo_dialog.detect.wording import Wordings
from robo_dialog.play.dialog import Dialog
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import read_moments
from robo_dialog.tune.bars import bars
from robo_dialog.tune.evidence import Recalled, Replayed, Sides, Stance
from robo_dialog.tune.examples import Example
from robo_dialog.tune.judges import Judge
from robo_dialog.tune.margins import BATCH, Margins
from robo_dialog.tune.passes import Views
from robo_dialog.tune.replays import replay
from robo_dialog.tune.verdicts import verdict_on
from robo_episodes.pool import FramePool

T = TypeVar("T")

_ROUNDS = 30
"""Requests that are timed."""


def both(of: Callable[[Judge], Sequence[T]], candidate: Judge, champion: Judge | None) -> Sides[T]:
    """What a function makes of both detectors."""
    return Sides(of(candidate), None if champion is None else of(champion))


def stances(views: Views, calibration: Calibration, margins: Margins) -> list[Stance]:
    """What a detector says of every outcome in view, by all cameras, by each alone, and under slight changes.

    Args:
        views: what was asked about.
        calibration: how margins become verdicts.
        margins: know all that `views` asks.
    """
    plain = replace(calibration, wordings=Wordings(), agreement=0.0)  # changed frames are asked about in one wording
    found = []
    for outcome in views.outcomes:
        frames, said = list(outcome.frames.items()), outcome.instruction
        found.append(
            Stance(
                episode_id=outcome.episode_id,
                called=_called(verdict_on(calibration, frames, said, margins)),
                cameras={one[0]: _called(verdict_on(calibration, [one], said, margins)) for one in frames},
                changed=tuple(
                    _called(verdict_on(plain, frames, said, margins, seed)) for seed in range(views.augmentations)
                ),
            )
        )
    return found


def replayed_by(candidate: Judge, champion: Judge | None, pool: FramePool, games: Sequence[Dialog]) -> Sides[Replayed]:
    """The games that both can play anew; with a progress bar on stderr.

    Raises:
        ModelError: a detector takes no questions.
        PoolError: the pool is not the one that was played over.
    """
    store = FrameStore(pool)
    instructions = {moment.episode_id: moment.instruction for moment in read_moments(pool)}
    with bars() as begin:
        mine = replay(candidate, store, games, instructions, begin("games, candidate"))
        if champion is None:
            return Sides(list(mine.values()))
        theirs = replay(champion, store, games, instructions, begin("games, champion"))
    played = [number for number in mine if number in theirs]
    return Sides([mine[number] for number in played], [theirs[number] for number in played])


def recalled_by(judge: Judge, examples: Sequence[Example]) -> list[Recalled]:
    """Answers to the yes/no questions about single images among training rows; no answer is a wrong one.

    Raises:
        ModelError: the detector takes no questions.
        RequestError: an image cannot be decoded.
    """
    asked = [(one, question, answer) for one in examples if len(one.images) == 1 for question, answer in _yes_no(one)]
    found = []
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        images = {one.names[0]: decode_rgb(one.images[0], one.names[0]) for one, _, _ in some}
        margins = judge.answers([images[one.names[0]] for one, _, _ in some], [question for _, question, _ in some])
        found += [
            Recalled(one.names[0], answer, margin > 0 if math.isfinite(margin) else not answer)
            for (one, _, answer), margin in zip(some, margins.tolist(), strict=True)
        ]
    return found


def seconds_of(candidate: Detector, champion: Detector, request: Request) -> Sides[float]:
    """Seconds of judging the same request again and again, by both in turn, so that other work hits both alike."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for detector, seconds in zip((candidate, champion), taken, strict=True):
            began = time.perf_counter()
            detector.verdicts([request])
            seconds.append(time.perf_counter() - began)
    return Sides(*taken)


def _called(verdict: Verdict) -> bool:
    return verdict.probability >= verdict.threshold


def _yes_no(example: Example) -> Iterator[tuple[str, bool]]:
    for talk in example.talks:
        if len(talk.messages) == 2 and talk.messages[1][1] in ("yes", "no"):
            yield talk.messages[0][1], talk.messages[1][1] == "yes"
