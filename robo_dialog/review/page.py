"""The page of a review as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from robo_dialog.pages import filled, png_url
from robo_dialog.relabel.rows import LabelRow
from robo_dialog.review.decisions import Decisions
from robo_dialog.review.doubt import doubt
from robo_dialog.review.frames import Pictures


def episodes(rows: Sequence[LabelRow], shown: Mapping[str, Sequence[Pictures]]) -> list[dict[str, Any]]:
    """What the page tells of each episode, as JSON values.

    Args:
        rows: in the order in which they are looked at.
        shown: pictures by `source`.
    """
    return [_episode(row, shown[row.source]) for row in rows]


def render(
    name: str, told: Sequence[Mapping[str, Any]], rows: Sequence[LabelRow], decisions: Decisions, secret: str
) -> str:
    """The whole page.

    Args:
        name: of the folder of labels.
        told: from `episodes`.
        rows: the same episodes.
        decisions: what has been decided so far.
        secret: what decisions must bear.
    """
    data = {
        "name": name,
        "secret": secret,
        "person": decisions.judge,
        "episodes": [{**one, "decision": decisions.of(row.episode_id)} for one, row in zip(told, rows, strict=True)],
    }
    return filled(files("robo_dialog.review").joinpath("page.html").read_text(encoding="utf-8"), data)


def _episode(row: LabelRow, pictures: Sequence[Pictures]) -> dict[str, Any]:
    probabilities = {one.camera: one.probability for one in row.cameras}
    found = doubt(row)
    return {
        "id": row.episode_id,
        "source": row.source,
        "instruction": row.instruction,
        "outcome": row.outcome,
        "probability": row.probability,
        "threshold": row.threshold,
        "judge": row.judged_by,
        "label": row.label,
        "contradicts": found.contradicts,
        "camerasDiffer": found.cameras_differ,
        "fulfilled": [one.instruction for one in row.fulfilled],
        "cameras": [
            {
                "name": one.camera,
                "probability": probabilities.get(one.camera),
                "first": None if one.first is None else png_url(one.first),
                "final": png_url(one.final),
            }
            for one in pictures
        ],
    }
