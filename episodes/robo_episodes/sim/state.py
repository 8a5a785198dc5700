"""What is true of the table at one moment, and the success of every instruction as a pure function of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from robo_episodes.sim.scene import COLORS, SHAPES

FAMILIES = ("place", "stack", "lift", "push", "open", "close")


@dataclass(frozen=True)
class State:
    """Facts read from the simulator.

    `on_plate`, `on_table`: names of objects that rest there, released. `on_top`: pairs (upper, lower), released.
    `held`: name of the object in the gripper and clear of the table, or None. `drawer`: 0 shut .. 1 open.
    """

    present: frozenset[str]
    on_plate: frozenset[str]
    on_table: frozenset[str]
    on_top: frozenset[tuple[str, str]]
    held: str | None
    drawer: float

    @property
    def drawer_open(self) -> bool:
        """Open by at least 70 % of its travel."""
        return self.drawer >= 0.7

    @property
    def drawer_closed(self) -> bool:
        """Open by less than 12 % of its travel."""
        return self.drawer < 0.12


@dataclass(frozen=True)
class Goal:
    """What an instruction asks for: family, the object moved and, for `stack`, the object below."""

    family: str
    moved: str = ""
    below: str = ""

    def text(self, wording: int = 0) -> str:
        """The instruction; `wording` 0 is the standard one, higher numbers are paraphrases (wrapping around)."""
        forms = WORDINGS[self.family]
        return forms[wording % len(forms)].format(moved=self.moved, below=self.below)

    def reached(self, state: State) -> bool:
        """Whether the state fulfils the instruction."""
        match self.family:
            case "place":
                return self.moved in state.on_plate
            case "stack":
                return (self.moved, self.below) in state.on_top
            case "lift":
                return state.held == self.moved
            case "push":
                return self.moved in state.on_table
            case "open":
                return state.drawer_open
            case "close":
                return state.drawer_closed
        raise ValueError(f"unknown instruction family {self.family!r}")


WORDINGS: dict[str, tuple[str, ...]] = {
    "place": (
        "put the {moved} on the plate",
        "place the {moved} on the plate",
        "set the {moved} down on the plate",
        "move the {moved} onto the plate",
    ),
    "stack": (
        "stack the {moved} on the {below}",
        "put the {moved} on top of the {below}",
        "place the {moved} on the {below}",
        "set the {moved} onto the {below}",
    ),
    "lift": ("lift the {moved}", "pick up the {moved}", "raise the {moved}", "lift the {moved} off the table"),
    "push": (
        "push the {moved} off the plate",
        "move the {moved} off the plate",
        "shove the {moved} off the plate",
        "get the {moved} off the plate",
    ),
    "open": ("open the drawer", "pull the drawer open", "pull out the drawer"),
    "close": ("close the drawer", "push the drawer shut", "shut the drawer"),
}

NAMES = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
"""All object names that can occur."""


def all_goals(names: tuple[str, ...] | list[str] = NAMES) -> list[Goal]:
    """Every goal about the given objects; balls are never stacked and nothing is stacked on them."""
    singles = [Goal(family, name) for family in ("place", "lift", "push") for name in names]
    flat = [name for name in names if not name.endswith("ball")]
    pairs = [Goal("stack", upper, lower) for upper, lower in permutations(flat, 2)]
    return [*singles, *pairs, Goal("open"), Goal("close")]
