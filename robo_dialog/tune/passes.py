"""One pass of a detector over the outcomes of a pool: everything that evaluation, calibration and the gate will want.

Knows no label. Each question is asked once; see `margins`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.wording import Wordings
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import Moment
from robo_dialog.tune.bars import bars
from robo_dialog.tune.judges import Judge
from robo_dialog.tune.margins import Margins, Query, ask, opened
from robo_dialog.tune.subjects import margins_file
from robo_dialog.tune.verdicts import queries, read_beginnings, read_outcomes
from robo_dialog.vlm.prompts import normalized
from robo_episodes.pool import FramePool


@dataclass(frozen=True)
class Views:
    """What is looked at: the outcomes of a pool, by which cameras, and in which other words."""

    outcomes: Sequence[Moment]
    beginnings: Mapping[str, Mapping[str, str]]
    """First frames by camera by episode."""
    paraphrases: Wordings = field(default_factory=Wordings)
    """Other wordings, by which a verdict is tested; not those that a calibration asks."""
    augmentations: int = 0
    """Slight changes of every final frame that are shown, too."""

    def queries(self, calibration: Calibration) -> Iterator[Query]:
        """All that is asked, frame by frame."""
        for outcome in self.outcomes:
            said = (outcome.instruction, *self.paraphrases.others(outcome.instruction))
            for frame_id in outcome.frames.values():
                for wording in said:
                    yield from queries(calibration, [frame_id], wording)
                for seed in range(self.augmentations):
                    yield Query(frame_id, normalized(outcome.instruction), seed)
            first = self.beginnings.get(outcome.episode_id, {})
            yield from queries(calibration, first.values(), outcome.instruction)


def views_of(
    pool: FramePool, cameras: Sequence[str] = (), paraphrases: Wordings | None = None, augmentations: int = 0
) -> Views:
    """What there is to look at in a pool.

    Raises:
        PoolError: no final frame has an instruction, or the pool has no such camera.
    """
    outcomes = read_outcomes(pool, cameras)
    return Views(outcomes, read_beginnings(pool, outcomes), paraphrases or Wordings(), augmentations)


@contextmanager
def looked(
    judge: Judge, pool: FramePool, views: Views, calibration: Calibration, folder: Path | None, title: str
) -> Iterator[Margins]:
    """The margins of everything in view, asked as far as they are not known; with a progress bar on stderr.

    Args:
        judge: the detector.
        pool: where the frames lie.
        views: what is asked about.
        calibration: says which wordings a verdict is made of.
        folder: where margins are kept; None: nowhere.
        title: beside the progress bar.

    Raises:
        ConfigError: the kept margins cannot be used.
        ModelError: some questions got no answer.
    """
    with opened(margins_file(folder, judge), judge.identity) as margins:
        with bars() as begin:
            ask(judge, FrameStore(pool), views.queries(calibration), margins, on_batch=begin(title))
        yield margins
