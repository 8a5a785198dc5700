"""From margins and a calibration to verdicts on whole episodes, by the code that serves. Knows no label.

Evaluation, calibration and the gate all see a detector through this module, so that what is measured is what is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from robo_dialog.detect.calibration import MAX_FRAMES, Calibration
from robo_dialog.detect.conclude import Prepared, conclude
from robo_dialog.detect.verdict import Verdict
from robo_dialog.errors import PoolError
from robo_dialog.play.moments import Moment, read_moments
from robo_dialog.tune.margins import Margins, Query
from robo_dialog.vlm.prompts import normalized
from robo_episodes.pool import FramePool


def read_outcomes(pool: FramePool, cameras: Sequence[str] = ()) -> list[Moment]:
    """The final moment of every episode that has an instruction, in the order of the pool.

    Args:
        pool: where the frames lie.
        cameras: only these; empty: all.

    Raises:
        PoolError: there is none, or one has more frames than a verdict may be asked about.
    """
    outcomes = [moment for moment in read_moments(pool, cameras) if moment.final]
    if not outcomes:
        raise PoolError(f"{pool.path}: no final frame has an instruction; ingest again with --instruction TEXT")
    for outcome in outcomes:
        if len(outcome.frames) > MAX_FRAMES:
            raise PoolError(
                f"{pool.path}: episode {outcome.episode_id} has {len(outcome.frames)} cameras, a verdict is over at "
                f"most {MAX_FRAMES}; choose some with --cameras"
            )
    return outcomes


def read_beginnings(pool: FramePool, outcomes: Iterable[Moment]) -> dict[str, dict[str, str]]:
    """First frames by camera by episode, of those outcomes whose episodes have first frames that are not their last."""
    wanted = {outcome.episode_id: outcome.frames for outcome in outcomes}
    found: dict[str, dict[str, str]] = {}
    for record in pool.table(("frame_id", "episode_id", "camera", "step", "steps_from_end")).to_pylist():
        is_first = record["step"] == 0 and record["steps_from_end"] != 0
        if is_first and record["camera"] in wanted.get(record["episode_id"], ()):
            found.setdefault(record["episode_id"], {})[record["camera"]] = record["frame_id"]
    return found


def asked(calibration: Calibration, instruction: str) -> tuple[str, ...]:
    """The wordings that a verdict on the instruction is made of, its own first."""
    own = normalized(instruction)
    return (own, *(normalized(other) for other in calibration.wordings.others(own)))


def queries(calibration: Calibration, frames: Iterable[str], instruction: str) -> Iterator[Query]:
    """What must be known for `verdict_on` these frames."""
    for frame_id in frames:
        for wording in asked(calibration, instruction):
            yield Query(frame_id, wording)


def verdict_on(
    calibration: Calibration,
    frames: Sequence[tuple[str, str]],
    instruction: str,
    margins: Margins,
    augmentation: int | None = None,
) -> Verdict:
    """The verdict that a detector with these margins and this calibration gives.

    Args:
        calibration: how margins become verdicts.
        frames: (camera, frame id) of one moment of one episode, 1 to 16.
        instruction: what the robot was told to do.
        margins: know all of `queries`.
        augmentation: seed of the slight change under which the frames are seen; None: as they were recorded.

    Raises:
        KeyError: a margin is not known.
    """
    said = asked(calibration, instruction)
    rows = [[margins.known[Query(frame_id, one, augmentation)] for _, frame_id in frames] for one in said]
    request = Prepared(
        pixels=(),
        cameras=tuple(camera for camera, _ in frames),
        steps=None,
        tokens=(),
        questions=(),
        instruction=instruction,
    )
    return conclude(calibration, request, rows, margins.model)
