"""Every text that robo-dialog says to a model, readable in one place; pure functions of their arguments."""

from __future__ import annotations

ANSWERS = (" no", " yes")
"""What the model's turn may begin with when it is asked a yes/no question, in the order of the option scores."""


def success_question(instruction: str) -> str:
    """The question whose P(yes) is the verdict on one image; `instruction` as in "put the cube on the plate"."""
    return f"The robot was told to {normalized(instruction)}. Has it done so?"


def normalized(instruction: str) -> str:
    """Without outer or doubled spaces and final full stops, so that punctuation never moves a verdict."""
    return " ".join(instruction.split()).rstrip(".!").strip()


CAPTION_REQUEST = "What do you see?"


def guess_request(last_answer: str) -> str:
    """Closes a game: the Describer's last answer and the call for a guess."""
    return f"{last_answer}. Which image is the target?"


def ask_request(candidates: int, instruction: str) -> str:
    """Opens a game for the Guesser, who sees all candidate images before this text."""
    return (
        f"These {candidates} images show attempts to {normalized(instruction)}. "
        f"One is the target. Ask a yes/no question to find it."
    )


def guess_options(candidates: int) -> tuple[str, ...]:
    """What the Guesser's last turn may begin with: the candidates by number, from 1."""
    return tuple(f" {number}" for number in range(1, candidates + 1))


BLANK_ANSWER = "not answered"
"""Stands for every answer in the dialog that is replayed to measure luck."""
