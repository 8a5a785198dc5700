"""Hand-made games and pools for the tests of the pure parts of play; every test changes the one thing it is about."""

from __future__ import annotations

from dataclasses import replace

from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.moments import Moment

CUBE = "put the red cube on the plate"


def turn(question="Is the red cube on the plate?", answer=True, **changes):
    """A turn that tells two of four candidates apart and holds in every sight."""
    p_yes = 0.9 if answer else 0.1
    played = DialogTurn(question, "sampled", answer, p_yes, p_yes, (0.9, 0.1, 0.9, 0.1), (p_yes, p_yes))
    return replace(played, **changes)


TURNS = (turn(), turn("Is the gripper open?", answer=False), turn("Is the drawer shut?"))


def view(episode, camera="front", **changes):
    return replace(View(f"{episode} {camera}", episode, camera, 0), **changes)


def dialog(**changes):
    """A cross-view game of four candidates that is won for good reasons."""
    played = Dialog(
        game_id=7,
        seed=1,
        round=0,
        model="0" * 16,
        guesser="likelihood",
        pairing="cross_view",
        sampling="same_task",
        instruction=CUBE,
        candidates=tuple(view(f"e{i}") for i in range(4)),
        target=1,
        describer=view("e1", "side"),
        turns=TURNS,
        guesses=(1, 1, 1, 1),
        blank_guess=0,
        outcome="won",
    )
    return replace(played, **changes)


def aborted(turns=()):
    return dialog(outcome="aborted", abort_reason="HTTP 500", turns=turns, guesses=(), blank_guess=None)


def moment(episode, *, instruction=CUBE, from_end=0, cameras=("front", "side")):
    """A moment whose frames are named after it."""
    frames = {camera: f"{episode} {camera} {from_end}" for camera in cameras}
    return Moment(episode, instruction, from_end, frames)


def outcomes(count, **changes):
    return [moment(f"e{i}", **changes) for i in range(count)]
