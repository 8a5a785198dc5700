"""Self-contained HTML pages: data and images inside, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import json

import cv2

from robo_dialog.vlm.protocol import Image
from robo_episodes.images import decode_png, encoded_size

SIDE = 320
"""Longest side of an embedded image, in pixels; larger frames would make a page of hundreds of megabytes."""
JPEG_QUALITY = 88
_PLACE = "__DATA__"


def filled(template: str, data: object) -> str:
    """The page with its data.

    Args:
        template: HTML with `__DATA__` in a script of type application/json.
        data: JSON values, all numbers finite.
    """
    # "</script>" or "<!--" inside a text would end the data block; as \u003c it is plain text in JSON.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    before, after = template.split(_PLACE)
    return before + text + after


def png_url(png: bytes) -> str:
    """A PNG as a data URL, untouched where it is small."""
    if max(encoded_size(png) or (SIDE + 1,)) <= SIDE:
        return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return image_url(decode_png(png))


def image_url(image: Image) -> str:
    """An RGB image as a data URL, as a JPEG of at most `SIDE` pixels."""
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
