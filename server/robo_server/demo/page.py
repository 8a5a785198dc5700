"""One self-contained HTML page of verdicts: images, figures and script inside, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from robo_dialog.pages import filled
from robo_server.demo.asking import Answer
from robo_server.demo.figures import DomainFigures, as_json


def render(model: dict[str, str], seed: int, domains: Sequence[DomainFigures], answers: Sequence[Answer]) -> str:
    """The whole page as text.

    Args:
        model: `name` and `digest` of the model that answered.
        seed: seed of the episodes.
        domains: figures, one panel each.
        answers: one card each; the frames are embedded as they were sent.
    """
    data = {
        "model": model,
        "seed": seed,
        "domains": [as_json(figures) for figures in domains],
        "episodes": [_card(answer) for answer in answers],
    }
    return filled(files("robo_server.demo").joinpath("page.html").read_text(encoding="utf-8"), data)


def verdict_json(answer: Answer) -> dict[str, Any]:
    """One answer as JSON values, without the images."""
    return {
        "domain": answer.case.domain,
        "episode_id": answer.case.episode_id,
        "instruction": answer.case.instruction,
        "success": answer.case.success,
        "verdict": answer.verdict,
        "probability": answer.probability,
        "threshold": answer.threshold,
        "latency_ms": answer.latency_ms,
    }


def _card(answer: Answer) -> dict[str, Any]:
    frames = [{"camera": frame.camera, "image": _data_url(frame.image)} for frame in answer.case.frames]
    return {**verdict_json(answer), "frames": frames}


def _data_url(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
