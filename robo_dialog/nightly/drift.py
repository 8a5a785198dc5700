"""What pictures look like, in a few numbers, and how far one night's are from another's: pure functions.

A camera that was bumped, another lamp or another table move these numbers before anybody looks.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

FEATURES = 21
"""Brightness on a 4x4 grid, mean of red, green and blue, contrast, and how much neighbouring pixels differ."""
_CONTRAST, _GRAIN = 19, 20
_BLANK, _NOISE = 2.0, 25.0
"""Contrast below which a frame shows nothing, and grain above which it is noise, in grey levels."""
_SHRUNK = 64
_DOUBT = 1e-3
"""Chance of calling alike nights different."""


def features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The numbers (FEATURES,) of an image (H, W, 3) uint8 RGB, in grey levels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grid = cv2.resize(grey, (4, 4), interpolation=cv2.INTER_AREA).ravel()
    small = cv2.resize(grey, (_SHRUNK, _SHRUNK), interpolation=cv2.INTER_LINEAR)
    grain = (np.abs(np.diff(small, axis=0)).mean() + np.abs(np.diff(small, axis=1)).mean()) / 2
    return np.concatenate([grid, image.mean(axis=(0, 1)), [grey.std(), grain]]).astype(np.float32)


def garbage(found: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the frames (N, FEATURES) show nothing, or nothing but noise, (N,)."""
    flags: NDArray[np.bool_] = (found[:, _CONTRAST] < _BLANK) | (found[:, _GRAIN] > _NOISE)
    return flags


def distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Largest Kolmogorov-Smirnov distance over the features of (N, FEATURES) and (M, FEATURES), from 0 to 1."""
    return max(_largest_gap(first[:, k], second[:, k]) for k in range(FEATURES))


def chance(first: int, second: int) -> float:
    """The distance that so many frames of the same kind stay below, but for one time in a thousand."""
    return math.sqrt(-math.log(_DOUBT / (2 * FEATURES)) / 2 * (first + second) / (first * second))


def _largest_gap(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    places = np.concatenate([first, second])
    below = np.searchsorted(np.sort(first), places, side="right") / len(first)
    above = np.searchsorted(np.sort(second), places, side="right") / len(second)
    return float(np.abs(below - above).max())
