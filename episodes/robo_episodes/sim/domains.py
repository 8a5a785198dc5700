"""Domains: recipes of how the same table may look. Fixed numbers; changing one changes every figure measured on it.

`source` is the broad variation that `tiny` is trained on. `target` is what changes when a robot moves to another lab:
another table, another lamp, bumped cameras, other paint; each of it outside `source`. `far` goes further.
Colours are HSV in [0, 1]; ranges are (low, high) and drawn uniformly.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
Color = tuple[float, float, float]

HUES = {"red": 0.0, "yellow": 0.145, "green": 0.36, "blue": 0.61}


@dataclass(frozen=True)
class Surface:
    """One way a surface may look: a pattern of world.TABLE_PATTERNS and HSV ranges of its tint."""

    pattern: str
    hue: Range
    saturation: Range
    value: Range


@dataclass(frozen=True)
class Domain:
    """Ranges of everything that a camera sees but the task does not change.

    azimuth, elevation: camera angles in degrees about the standard pose (azimuth's sign is drawn); distance: factor;
    light: brightness factor; warmth: red gain minus blue gain; gamma: exponent of the sensor; noise: standard deviation
    in grey levels; hue_shift: added to object hues (sign drawn); object_saturation, object_value: HSV of object paint.
    """

    name: str
    tables: tuple[Surface, ...]
    plates: tuple[Surface, ...]
    cabinets: tuple[Surface, ...]
    azimuth: Range
    elevation: Range
    distance: Range
    light: Range
    warmth: Range
    gamma: Range
    noise: Range
    hue_shift: Range
    object_saturation: Range
    object_value: Range
    gripper_value: Range


DOMAINS: dict[str, Domain] = {
    "source": Domain(
        name="source",
        tables=(
            Surface("plain", (0.05, 0.12), (0.10, 0.45), (0.45, 0.95)),
            Surface("wood", (0.05, 0.12), (0.25, 0.60), (0.40, 0.90)),
            Surface("speckle", (0.0, 1.0), (0.0, 0.10), (0.35, 0.90)),
            Surface("cloth", (0.0, 1.0), (0.0, 0.25), (0.40, 0.85)),
        ),
        plates=(
            Surface("plain", (0.0, 1.0), (0.0, 0.12), (0.80, 1.0)),
            Surface("plain", (0.0, 1.0), (0.0, 0.15), (0.12, 0.30)),
        ),
        cabinets=(
            Surface("plain", (0.05, 0.12), (0.30, 0.60), (0.30, 0.70)),
            Surface("plain", (0.0, 1.0), (0.0, 0.10), (0.25, 0.80)),
        ),
        azimuth=(0.0, 12.0),
        elevation=(-5.0, 5.0),
        distance=(0.94, 1.08),
        light=(0.75, 1.15),
        warmth=(-0.08, 0.08),
        gamma=(0.9, 1.15),
        noise=(0.0, 4.0),
        hue_shift=(0.0, 0.025),
        object_saturation=(0.75, 1.0),
        object_value=(0.65, 1.0),
        gripper_value=(0.15, 0.45),
    ),
    "target": Domain(
        name="target",
        tables=(
            Surface("checker", (0.50, 0.66), (0.12, 0.30), (0.55, 0.90)),
            Surface("stripes", (0.28, 0.45), (0.12, 0.30), (0.55, 0.88)),
        ),
        plates=(Surface("plain", (0.50, 0.70), (0.12, 0.30), (0.75, 1.0)),),
        cabinets=(Surface("plain", (0.55, 0.75), (0.20, 0.45), (0.25, 0.60)),),
        azimuth=(16.0, 22.0),
        elevation=(-9.0, -6.0),
        distance=(1.04, 1.14),
        light=(0.75, 0.95),
        warmth=(-0.14, -0.09),
        gamma=(1.17, 1.25),
        noise=(6.0, 7.5),
        hue_shift=(0.01, 0.035),
        object_saturation=(0.58, 0.82),
        object_value=(0.55, 0.85),
        gripper_value=(0.50, 0.65),
    ),
    "far": Domain(
        name="far",
        tables=(
            Surface("tiles", (0.75, 0.95), (0.15, 0.40), (0.55, 0.90)),
            Surface("blotches", (0.20, 0.45), (0.20, 0.45), (0.50, 0.85)),
        ),
        plates=(Surface("checker", (0.75, 0.95), (0.15, 0.40), (0.60, 0.95)),),
        cabinets=(Surface("stripes", (0.30, 0.60), (0.30, 0.60), (0.30, 0.70)),),
        azimuth=(22.0, 28.0),
        elevation=(-11.0, -8.0),
        distance=(1.12, 1.22),
        light=(0.65, 0.78),
        warmth=(0.08, 0.16),
        gamma=(1.25, 1.35),
        noise=(7.5, 9.5),
        hue_shift=(0.02, 0.04),
        object_saturation=(0.52, 0.75),
        object_value=(0.48, 0.80),
        gripper_value=(0.65, 0.80),
    ),
}


@dataclass(frozen=True)
class Look:
    """One drawn appearance: RGB colours in [0, 1], camera poses as (azimuth, elevation) degrees and distance factor."""

    table: str
    table_color: Color
    plate: str
    plate_color: Color
    cabinet: str
    cabinet_color: Color
    paints: dict[str, Color]
    gripper: float
    cameras: dict[str, tuple[float, float, float]]
    light: float
    lamp: tuple[float, float]
    warmth: float
    gamma: float
    noise: float


def sample_look(domain: Domain, rng: np.random.Generator) -> Look:
    """Draw one appearance; an episode keeps it for all its frames."""
    table, table_color = _surface(domain.tables, rng)
    plate, plate_color = _surface(domain.plates, rng)
    cabinet, cabinet_color = _surface(domain.cabinets, rng)
    paints = {
        word: _rgb(
            hue + _signed(domain.hue_shift, rng),
            rng.uniform(*domain.object_saturation),
            rng.uniform(*domain.object_value),
        )
        for word, hue in HUES.items()
    }
    cameras = {
        name: (
            _signed(domain.azimuth, rng),
            float(rng.uniform(*domain.elevation)),
            float(rng.uniform(*domain.distance)),
        )
        for name in ("front", "side")
    }
    return Look(
        table=table,
        table_color=table_color,
        plate=plate,
        plate_color=plate_color,
        cabinet=cabinet,
        cabinet_color=cabinet_color,
        paints=paints,
        gripper=float(rng.uniform(*domain.gripper_value)),
        cameras=cameras,
        light=float(rng.uniform(*domain.light)),
        lamp=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.6, 0.2))),
        warmth=float(rng.uniform(*domain.warmth)),
        gamma=float(rng.uniform(*domain.gamma)),
        noise=float(rng.uniform(*domain.noise)),
    )


def _surface(choices: tuple[Surface, ...], rng: np.random.Generator) -> tuple[str, Color]:
    surface = choices[int(rng.integers(len(choices)))]
    color = _rgb(rng.uniform(*surface.hue), rng.uniform(*surface.saturation), rng.uniform(*surface.value))
    return surface.pattern, color


def _rgb(hue: float, saturation: float, value: float) -> Color:
    return colorsys.hsv_to_rgb(hue % 1.0, float(saturation), float(value))


def _signed(bounds: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*bounds) * rng.choice([-1.0, 1.0]))


def pattern_pixels(pattern: str, size: int) -> npt.NDArray[np.uint8]:
    """The grey texture (size, size) of a pattern; the same at every call. A material's colour tints it."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:size, 0:size] / size
    match pattern:
        case "plain":
            grey = np.ones_like(x)
        case "wood":
            warp = 0.04 * np.sin(2 * np.pi * (y * 1.5 + 0.3 * np.sin(2 * np.pi * x)))
            grey = 0.86 + 0.10 * np.sin(2 * np.pi * 11 * (x + warp)) + rng.normal(0, 0.02, (size, size))
        case "speckle":
            grey = 0.9 + 0.10 * (rng.random((size, size)) > 0.85) - 0.15 * (rng.random((size, size)) > 0.9)
        case "cloth":
            grey = 0.88 + 0.06 * np.sin(2 * np.pi * 30 * x) * np.sin(2 * np.pi * 30 * y)
        case "checker":
            grey = np.where((np.floor(x * 8) + np.floor(y * 8)) % 2, 1.0, 0.72)
        case "stripes":
            grey = np.where(np.floor(x * 10 + 3 * y) % 2, 1.0, 0.70)
        case "tiles":
            edge = np.minimum((x * 6) % 1, (y * 6) % 1)
            grey = np.where(edge < 0.08, 0.45, 0.95)
        case "blotches":
            coarse = rng.random((9, 9))
            grey = 0.55 + 0.45 * np.kron(coarse, np.ones((size // 9 + 1, size // 9 + 1)))[:size, :size]
        case _:
            raise ValueError(f"unknown pattern {pattern!r}")
    pixels: npt.NDArray[np.uint8] = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return pixels
