"""What every patch of a frame shows and how it lies there: the labels that teach the vision tower to see.

Two labels a patch: the thing, and its place. The second is what most questions are about; without it a tower learns
names and leaves the relations to a text side that is far too small to work them out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robo_dialog.pretrain.architecture import PATCH
from robo_episodes.sim.render import PARTS, SIZE
from robo_episodes.sim.scene import SLOTS, Scene
from robo_episodes.sim.state import NAMES, State

GRID = SIZE // PATCH
THINGS = (*PARTS, *NAMES)
"""Parts of the scenery, "nothing" first, then objects by name."""

PLACES = (
    "nothing",
    "on the table",
    "on the plate",
    "in the gripper",
    "elsewhere",
    "drawer open",
    "drawer half open",
    "drawer closed",
    "gripper empty",
    "gripper holding",
    "plate empty",
    "plate taken",
    *(f"on the {name}" for name in NAMES),
)
"""Where an object is, or for a part of the scenery what is the case with it."""

Grids = npt.NDArray[np.uint8]


def thing_classes(pixels: npt.NDArray[np.uint8], scene: Scene) -> Grids:
    """Dense pixel labels (96, 96) to one class of THINGS a patch (GRID, GRID).

    The most frequent class other than "nothing" if it covers a tenth of the patch; objects count double, being small.
    """
    names = {thing.slot: NAMES.index(thing.name) for thing in scene.things}
    lookup = np.arange(len(PARTS) + len(SLOTS))
    for slot in range(len(SLOTS)):
        lookup[len(PARTS) + slot] = len(PARTS) + names[slot] if slot in names else 0
    blocks = lookup[pixels].reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    counts = np.stack([(blocks == c).sum(1) for c in range(len(THINGS))], axis=1)
    weighted = counts * np.where(np.arange(len(THINGS)) >= len(PARTS), 2, 1)
    weighted[:, 0] = 0
    best = weighted.argmax(1)
    covered = counts[np.arange(len(best)), best] >= 0.1 * PATCH * PATCH
    classes: Grids = np.where(covered, best, 0).astype(np.uint8).reshape(GRID, GRID)
    return classes


def place_classes(things: Grids, state: State) -> Grids:
    """Classes of THINGS (GRID, GRID) to classes of PLACES (GRID, GRID), by what is true at that moment."""
    lookup = np.array([PLACES.index(_place(thing, state)) for thing in THINGS], np.uint8)
    places: Grids = lookup[things]
    return places


def _place(thing: str, state: State) -> str:
    match thing:
        case "nothing":
            return "nothing"
        case "cabinet" | "drawer" | "handle":
            return f"drawer {'open' if state.drawer_open else 'closed' if state.drawer_closed else 'half open'}"
        case "gripper":
            return "gripper holding" if state.held else "gripper empty"
        case "plate":
            return "plate taken" if state.on_plate else "plate empty"
    below = dict(state.on_top)
    if thing in below:
        return f"on the {below[thing]}"
    if thing == state.held:
        return "in the gripper"
    return "on the table" if thing in state.on_table else "on the plate" if thing in state.on_plate else "elsewhere"
