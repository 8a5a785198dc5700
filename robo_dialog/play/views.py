"""Slight changes of an image that leave what it shows as it is: what a Describer may see, and the test of an answer."""

from __future__ import annotations

import cv2
import numpy as np

from robo_dialog.vlm.protocol import Image

SHIFT = 0.04
"""Largest displacement, as a share of the side."""
ZOOM = 0.06
"""Largest change of size."""
GAIN = 0.15
"""Largest change of brightness, and of each colour by half as much."""
GAMMA = 0.15
NOISE = 3.0
"""Standard deviation in grey levels."""


def augment(image: Image, seed: int) -> Image:
    """The image as another exposure by a slightly moved camera would be: (H, W, 3) uint8, always the same for a seed.

    Nothing is mirrored or turned: "left" and "upside down" may be what a question is about.
    """
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    zoom = 1.0 + rng.uniform(-ZOOM, ZOOM)
    dx, dy = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    move = np.array([[zoom, 0, (1 - zoom) * width / 2 + dx], [0, zoom, (1 - zoom) * height / 2 + dy]])
    moved = cv2.warpAffine(image, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gains = (1.0 + rng.uniform(-GAIN, GAIN)) * (1.0 + rng.uniform(-GAIN / 2, GAIN / 2, 3))
    light = (moved.astype(np.float32) / 255.0) ** (1.0 + rng.uniform(-GAMMA, GAMMA)) * gains
    exposed = 255.0 * light + rng.normal(0.0, NOISE, moved.shape)
    seen: Image = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
    return seen
