"""Every text that robo-dialog says to a model, readable in one place; pure functions of their arguments."""

from __future__ import annotations

ANSWERS = (" no", " yes")
"""What the model's turn may begin with when it is asked a yes/no question, in the order of the option scores."""


def success_question(instruction: str) -> str:
    """The question whose P(yes) is the verdict on one image, for an `instruction` such as "put the cube on the plate"."""
    return f"The robot was told to {normalized(instruction)}. Has it done so?"


def normalized(instruction: str) -> str:
    """Instruction without outer spaces, final full stop or doubled spaces, so that punctuation never moves a verdict."""
    return " ".join(instruction.split()).rstrip(".!").strip()
