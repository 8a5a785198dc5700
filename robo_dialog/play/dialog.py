"""The record of one game: one JSON line that holds all that happened, for filters, training rows and people.

It is the whole interface between playing and everything after it. Numbers are rounded when they are recorded, so that a
line is short, the same on every run, and read back as exactly the dialog that was written: filters judge both alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from robo_dialog.errors import ConfigError
from robo_dialog.play.rules import Outcome
from robo_dialog.play.settings import GuesserKind, Kind, Pairing

Source = Literal["sampled", "instruction", "hindsight"]
"""Who thought of a question: the model, the episodes' own instruction, or an instruction of another episode."""
DIGITS = 4


@dataclass(frozen=True)
class View:
    """What one role sees of one moment."""

    frame_id: str
    episode_id: str
    camera: str
    from_end: int
    augmentation: int | None = None
    """Seed of the augmentation it is seen under; None: as it was recorded."""


@dataclass(frozen=True)
class DialogTurn:
    """One question and its answer, with what the filters need to judge them."""

    question: str
    source: Source
    answer: bool
    p_yes: float
    """The Describer's P(yes), calibrated to the pool."""
    raw_p_yes: float
    """The same before calibration."""
    candidate_p_yes: tuple[float, ...]
    """The Guesser's P(yes) for every candidate; empty for a Guesser that does not judge candidates one by one."""
    checks: tuple[float, ...]
    """P(yes) of the target in other sights of it: slightly augmented, and in the Guesser's view."""

    def __post_init__(self) -> None:
        """Round all numbers."""
        for name in ("p_yes", "raw_p_yes"):
            object.__setattr__(self, name, round(getattr(self, name), DIGITS))
        for name in ("candidate_p_yes", "checks"):
            object.__setattr__(self, name, tuple(round(one, DIGITS) for one in getattr(self, name)))


@dataclass(frozen=True)
class Dialog:
    """One game from its sampling to its guess."""

    game_id: int
    seed: int
    round: int
    model: str
    """Digest of the model that played both roles."""
    guesser: GuesserKind
    pairing: Pairing
    sampling: Kind
    instruction: str
    """Instruction of the target's episode."""
    candidates: tuple[View, ...]
    """What the Guesser sees."""
    target: int
    describer: View
    turns: tuple[DialogTurn, ...] = ()
    guesses: tuple[int, ...] = ()
    """Per rotation, as an index into `candidates`."""
    blank_guess: int | None = None
    outcome: Outcome = "aborted"
    abort_reason: str | None = None
    kept: bool = False
    reasons: tuple[str, ...] = ()
    """Why the filters rejected it; empty if kept."""
    others: tuple[View, ...] = ()
    """Further views that the Describer sees at once."""

    @property
    def target_views(self) -> tuple[View, ...]:
        """All recorded views of the target that were in play, the Describer's first; an answer is true of each."""
        mine = (self.describer, *self.others)
        return mine if self.pairing in ("same", "augmented") else (*mine, self.candidates[self.target])

    def judged(self, reasons: tuple[str, ...]) -> Dialog:
        """The same dialog with the filters' reasons."""
        return replace(self, kept=not reasons, reasons=reasons)

    def line(self) -> str:
        """One line of JSON, without the line end."""
        return json.dumps(vars(self), default=vars, ensure_ascii=False, separators=(",", ":"))


def parse(line: str) -> Dialog:
    """The dialog that `Dialog.line` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is no such line.
    """
    values: dict[str, Any] = json.loads(line)
    return Dialog(
        **{
            **values,
            "candidates": tuple(View(**view) for view in values["candidates"]),
            "describer": View(**values["describer"]),
            "others": tuple(View(**view) for view in values["others"]),
            "turns": tuple(_turn(turn) for turn in values["turns"]),
            "guesses": tuple(values["guesses"]),
            "reasons": tuple(values["reasons"]),
        }
    )


def read_dialogs(path: Path) -> Iterator[Dialog]:
    """All dialogs of a file.

    Raises:
        ConfigError: the file is missing or a line of it is damaged.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield parse(line.decode())
                except (ValueError, KeyError, TypeError) as error:
                    raise ConfigError(
                        f"{path}: line {number} is no dialog ({error!r}); run the same `robo-dialog play` again"
                    ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); make it with: robo-dialog play") from error


def dialogs_digest(path: Path) -> str:
    """64 hex digits of a file of dialogs, by which the lineage of a model names what it has learned from.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a run of `robo-dialog play`") from error


def _turn(values: dict[str, Any]) -> DialogTurn:
    return DialogTurn(
        **{**values, "candidate_p_yes": tuple(values["candidate_p_yes"]), "checks": tuple(values["checks"])}
    )
