"""The dialog game as a pure state machine: no model, no file, no randomness in it.

    asking ──asked──▶ answering ──answered──▶ asking … ──▶ guessing ──guessed──▶ over
       any phase before the end ──aborted──▶ over

Every transition gives a new `Game`; one that does not fit the phase raises ValueError, since only a bug can ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from robo_dialog.errors import ConfigError

Phase = Literal["asking", "answering", "guessing", "over"]
Outcome = Literal["won", "lost", "aborted"]

FEWEST_CANDIDATES, MOST_CANDIDATES = 2, 8
MOST_TURNS = 8


@dataclass(frozen=True)
class Rules:
    """Size of a game."""

    candidates: int = 4
    """Images among which the Guesser finds the target, 2 to 8."""
    turns: int = 3
    """Questions, 1 to 8."""

    def __post_init__(self) -> None:
        """Refuse sizes outside the limits."""
        if not FEWEST_CANDIDATES <= self.candidates <= MOST_CANDIDATES:
            raise ConfigError(
                f"candidates is {self.candidates}; choose {FEWEST_CANDIDATES} to {MOST_CANDIDATES} images a game"
            )
        if not 1 <= self.turns <= MOST_TURNS:
            raise ConfigError(f"turns is {self.turns}; choose 1 to {MOST_TURNS} questions a game")


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    `p_yes`: the Describer's P(yes); the answer is "yes" from 0.5 on.
    """

    question: str
    p_yes: float

    @property
    def answer(self) -> bool:
        """True for "yes"."""
        return self.p_yes >= 0.5


@dataclass(frozen=True)
class Game:
    """One game between two transitions."""

    rules: Rules
    target: int
    """Index of the target among the candidates, from 0."""
    phase: Phase = "asking"
    turns: tuple[Turn, ...] = ()
    question: str | None = None
    """Asked and not yet answered."""
    guesses: tuple[int, ...] = ()
    """The candidate named in each rotation, as an index into the candidates in their first order."""
    blank_guess: int | None = None
    """The candidate named after a dialog whose answers were blanked; its winning is luck."""
    abort_reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse a target that is not among the candidates."""
        if not 0 <= self.target < self.rules.candidates:
            raise ValueError(f"target {self.target} is not among {self.rules.candidates} candidates")

    def asked(self, question: str) -> Game:
        """The Guesser has asked."""
        self._expect("asking")
        return replace(self, phase="answering", question=question)

    def answered(self, p_yes: float) -> Game:
        """The Describer has answered the open question."""
        self._expect("answering")
        assert self.question is not None  # noqa: S101 - what the phase means
        if not 0.0 <= p_yes <= 1.0:
            raise ValueError(f"P(yes) is {p_yes}, expected 0 to 1")
        turns = (*self.turns, Turn(self.question, p_yes))
        done = len(turns) == self.rules.turns
        return replace(self, phase="guessing" if done else "asking", question=None, turns=turns)

    def guessed(self, guesses: tuple[int, ...], blank_guess: int) -> Game:
        """The Guesser has named a candidate in every rotation, and after the blanked dialog."""
        self._expect("guessing")
        if len(guesses) != self.rules.candidates:
            raise ValueError(f"{len(guesses)} guesses for {self.rules.candidates} rotations")
        if any(not 0 <= guess < self.rules.candidates for guess in (*guesses, blank_guess)):
            raise ValueError(f"guesses {guesses}, {blank_guess} are not all among {self.rules.candidates} candidates")
        return replace(self, phase="over", guesses=guesses, blank_guess=blank_guess)

    def aborted(self, reason: str) -> Game:
        """The game cannot go on."""
        if self.phase == "over":
            raise ValueError("a game that is over cannot be aborted")
        return replace(self, phase="over", question=None, abort_reason=reason)

    @property
    def outcome(self) -> Outcome:
        """How the game ended: by the guess in the first order of the candidates."""
        self._expect("over")
        if self.abort_reason is not None:
            return "aborted"
        return "won" if self.guesses[0] == self.target else "lost"

    def _expect(self, phase: Phase) -> None:
        if self.phase != phase:
            raise ValueError(f"the game is in phase `{self.phase}`, not `{phase}`")


def rotations(candidates: int) -> tuple[tuple[int, ...], ...]:
    """All cyclic orders: row r says which candidate (in the first order) stands at each place."""
    return tuple(tuple((place + shift) % candidates for place in range(candidates)) for shift in range(candidates))
