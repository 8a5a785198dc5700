"""A pool with what was said of its frames, as a recording for the Rerun viewer: one step of its time an episode.

cameras/<name>/final   the frame at the end; `cameras/<name>/before` those that the pool has from before it
verdict/probability    P(success), a curve over the episodes
episode                instruction, label, verdict, questions and answers to read
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import rerun as rr

from robo_dialog.errors import ConfigError
from robo_dialog.share.said import Said
from robo_episodes.pool_rows import FrameRow

TIMELINE = "episode"


def write_recording(rows: Iterable[tuple[FrameRow, Said]], path: Path) -> int:
    """Write the file; returns the number of frames.

    Raises:
        ConfigError: the file cannot be written.
        PoolError: the pool that the rows come from is damaged.
    """
    draft = path.with_name(f".{path.name}.tmp")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rr.RecordingStream("robo_dialog") as stream:
            stream.save(draft)
            for number, (_, group) in enumerate(groupby(rows, key=lambda one: one[0].episode_id)):
                count += _log_episode(stream, number, list(group))
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _log_episode(stream: rr.RecordingStream, number: int, rows: list[tuple[FrameRow, Said]]) -> int:
    stream.set_time(TIMELINE, sequence=number)
    for row, _ in rows:
        name = "final" if row.steps_from_end in (0, None) else f"before/{row.steps_from_end}"
        image = rr.EncodedImage(contents=row.png, media_type="image/png")
        stream.log(["cameras", row.camera, *name.split("/")], image)
    verdict = next((said.verdict for _, said in rows if said.verdict is not None), None)
    if verdict is not None and verdict.probability is not None:
        stream.log("verdict/probability", rr.Scalars(verdict.probability))
    stream.log("episode", rr.TextDocument(text_of(rows), media_type="text/markdown"))
    return len(rows)


def text_of(rows: list[tuple[FrameRow, Said]]) -> str:
    """What is to be read of an episode, as Markdown."""
    frame, told = (
        rows[0][0],
        max((said for _, said in rows), key=lambda one: (one.verdict is not None, one.answers != ())),
    )
    label = {True: "success", False: "failure", None: "none"}[frame.success]
    lines = [f"# {frame.instruction or 'no instruction'}", f"{frame.episode_id}, {frame.source}", f"label: {label}"]
    if told.verdict is not None:
        one = told.verdict
        probability = "" if one.probability is None else f", P(success) {one.probability:.3f}"
        lines.append(f"**{one.outcome}**{probability}, by {one.judged_by}")
    for answer in told.answers:
        text = "yes" if answer.answer else "no"
        lines.append(f"- {answer.question} **{text}** ({answer.p_yes:.2f}{', kept' if answer.kept else ''})")
    return "\n\n".join(lines)
