"""The tasks of Meta-World that the benchmark is about, in words, and what they are used for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["source", "dev", "target"]


@dataclass(frozen=True)
class Task:
    """One task; questions are about its outcome."""

    name: str
    """As Meta-World names it, without the version."""
    instruction: str
    thing: str = ""
    """What is moved. Like the questions, only source tasks tell: what is said of the others, the model thinks of."""
    done: str = ""
    """A question that is answered with yes when the task is fulfilled."""
    before: str = ""
    """One that is answered with yes before anything is done, if the picture tells."""


SOURCE = (
    Task("door-open", "open the door", "door", "Is the door open?", "Is the door closed?"),
    Task("door-lock", "lock the door", "lock", "Is the door locked?", "Is the door unlocked?"),
    Task("drawer-close", "close the drawer", "drawer", "Is the drawer closed?", "Is the drawer open?"),
    Task("window-open", "open the window", "window", "Is the window open?", "Is the window closed?"),
    Task("faucet-close", "close the faucet", "faucet", "Is the faucet closed?", "Is the faucet open?"),
    Task("button-press", "press the button", "button", "Is the button pressed?"),
    Task("button-press-topdown-wall", "press the button", "button", "Is the button pressed?"),
    Task("coffee-button", "press the button", "button", "Is the button pressed?"),
    Task("handle-press", "press the handle down", "handle", "Is the handle down?", "Is the handle up?"),
    Task("handle-pull-side", "pull the handle up", "handle", "Is the handle up?", "Is the handle down?"),
    Task("lever-pull", "pull the lever up", "lever", "Is the lever up?", "Is the lever down?"),
    Task("plate-slide", "slide the plate into the goal", "plate", "Is the plate in the goal?"),
    Task(
        "plate-slide-back-side",
        "slide the plate out of the goal",
        "plate",
        "Is the plate out of the goal?",
        "Is the plate in the goal?",
    ),
    Task("coffee-pull", "pull the cup away from the machine", "cup", "Is the cup away from the machine?"),
    Task("peg-unplug-side", "pull the peg out of the socket", "peg", "Is the peg out?", "Is the peg in the socket?"),
    Task("push", "push the puck to the goal", "puck", "Is the puck at the goal?"),
    Task("soccer", "push the ball into the goal", "ball", "Is the ball in the goal?"),
    Task("sweep-into", "sweep the cube into the hole", "cube", "Is the cube in the hole?"),
    Task("dial-turn", "turn the dial", "dial", "Is the dial turned?"),
    Task("box-close", "put the lid on the box", "lid", "Is the lid on the box?"),
)
"""Learned with labels."""

DEV = (
    Task("door-unlock", "unlock the door"),
    Task("handle-press-side", "press the handle down"),
    Task("plate-slide-side", "slide the plate into the goal"),
    Task("coffee-push", "push the cup to the machine"),
)
"""What settings are chosen on."""

TARGET = (
    Task("door-close", "close the door"),
    Task("drawer-open", "open the drawer"),
    Task("window-close", "close the window"),
    Task("faucet-open", "open the faucet"),
    Task("button-press-topdown", "press the button"),
    Task("handle-pull", "pull the handle up"),
    Task("plate-slide-back", "slide the plate out of the goal"),
    Task("push-back", "push the puck back to the goal"),
    Task("peg-insert-side", "put the peg into the socket"),
    Task("sweep", "sweep the cube off the table"),
)
"""Never learned with labels, and never looked at before the figures are taken. Each is a sibling of source tasks: the
same thing with another verb, the same verb with another thing, or both in another setting."""

TASKS: dict[Split, tuple[Task, ...]] = {"source": SOURCE, "dev": DEV, "target": TARGET}
