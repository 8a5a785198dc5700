"""What can lie on the table and where; pure values and their sampling, no physics.

Frame: x to the right, y away from the front camera, z up, origin at the middle of the table's top; metres and radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLORS = ("red", "green", "blue", "yellow")
SHAPES = ("cube", "ball", "cylinder")
SLOTS = ("cube", "cube", "ball", "ball", "cylinder", "cylinder")
"""The bodies of the fixed model: slot i is always of shape SLOTS[i]; a scene uses some of them."""

HALF_HEIGHT = {"cube": 0.027, "ball": 0.028, "cylinder": 0.040}
CYLINDER_RADIUS = 0.021
"""Slender, so that at 96 pixels a cylinder differs from a cube by more than the shading of its side."""
PLATE_RADIUS = 0.075
PLATE_HEIGHT = 0.008
DRAWER_TRAVEL = 0.10
CABINET = (-0.16, 0.17)
"""Centre (x, y) of the cabinet; its drawer opens towards the front camera."""

REACH = 0.175
"""Objects lie within ±REACH of the origin in x and y."""


@dataclass(frozen=True)
class Thing:
    """One object: its slot in the model, its colour word and its start pose (x, y, z of the centre, yaw)."""

    slot: int
    color: str
    position: tuple[float, float, float]
    yaw: float

    @property
    def shape(self) -> str:
        """Shape word, given by the slot."""
        return SLOTS[self.slot]

    @property
    def name(self) -> str:
        """Colour and shape, unique in a scene: "red cube"."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Start of an episode: objects, plate centre (x, y) and how far the drawer is open (0 shut .. 1)."""

    things: tuple[Thing, ...]
    plate: tuple[float, float]
    drawer: float

    def thing(self, name: str) -> Thing:
        """The object called `name`; KeyError if the scene has none."""
        for thing in self.things:
            if thing.name == name:
                return thing
        raise KeyError(name)


def resting_height(shape: str, *, on_plate: bool = False) -> float:
    """z of the centre of an object lying on the table or on the plate."""
    return HALF_HEIGHT[shape] + (PLATE_HEIGHT if on_plate else 0.0) + 0.001


def sample_scene(rng: np.random.Generator, *, on_plate: float = 0.25, stacked: float = 0.12) -> Scene:
    """A random scene of 2-4 objects; with the given probabilities one starts on the plate or on another one."""
    drawer = float(rng.choice([0.0, rng.uniform(0.8, 1.0), rng.uniform(0.2, 0.8)], p=[0.5, 0.4, 0.1]))
    plate = _free_spot(rng, [], margin=0.0, radius=0.14)
    slots = rng.permutation(len(SLOTS))[: rng.integers(2, 5)]
    taken: list[tuple[float, float]] = [plate]
    things: list[Thing] = []
    for slot in slots:
        shape = SLOTS[slot]
        used = {thing.color for thing in things if thing.shape == shape}
        color = str(rng.choice([c for c in COLORS if c not in used]))
        position = _start(rng, shape, plate, things, taken, on_plate, stacked)
        taken.append(position[:2])
        things.append(Thing(int(slot), color, position, float(rng.uniform(-0.35, 0.35))))
    return Scene(tuple(things), plate, drawer)


def _start(
    rng: np.random.Generator,
    shape: str,
    plate: tuple[float, float],
    things: list[Thing],
    taken: list[tuple[float, float]],
    on_plate: float,
    stacked: float,
) -> tuple[float, float, float]:
    plate_free = all(np.hypot(t.position[0] - plate[0], t.position[1] - plate[1]) > PLATE_RADIUS for t in things)
    if plate_free and rng.random() < on_plate:
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3 * PLATE_RADIUS)
        spot = (plate[0] + radius * np.cos(angle), plate[1] + radius * np.sin(angle))
        return (float(spot[0]), float(spot[1]), resting_height(shape, on_plate=True))
    bases = [t for t in things if t.shape != "ball" and t.position[2] < 0.05]
    if shape != "ball" and bases and rng.random() < stacked:
        base = bases[int(rng.integers(len(bases)))]
        z = base.position[2] + HALF_HEIGHT[base.shape] + HALF_HEIGHT[shape] + 0.001
        return (base.position[0], base.position[1], z)
    x, y = _free_spot(rng, taken, margin=0.105)
    return (x, y, resting_height(shape))


def _free_spot(
    rng: np.random.Generator, taken: list[tuple[float, float]], *, margin: float, radius: float = REACH
) -> tuple[float, float]:
    """A spot clear of `taken` by `margin` (less after many tries) and of the cabinet and its open drawer."""
    for attempt in range(400):
        x, y = rng.uniform(-radius, radius, 2)
        near_cabinet = x < CABINET[0] + 0.14 and y > CABINET[1] - 0.26
        shrink = 1.0 - attempt / 800
        if not near_cabinet and all(np.hypot(x - a, y - b) > margin * shrink for a, b in taken):
            return (float(x), float(y))
    return (float(rng.uniform(0.0, radius)), float(rng.uniform(-radius, 0.0)))
