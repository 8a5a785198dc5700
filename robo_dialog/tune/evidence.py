"""What speaks for or against a candidate: what it and the champion made of the same held-out things. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from robo_dialog.tune.evaluation import Judged

T = TypeVar("T")


@dataclass(frozen=True)
class Sides(Generic[T]):
    """The same things in the same order, as both detectors saw them."""

    candidate: Sequence[T]
    champion: Sequence[T] | None = None
    """None where there is no champion yet."""


@dataclass(frozen=True)
class Replayed:
    """One game played anew with the questions of the record, by one detector in both roles."""

    game_id: int
    episode_id: str
    """Of the target; games about one episode are one piece of evidence."""
    family: str
    """Of the target's instruction."""
    won: bool
    chance: float
    """That of winning it by luck."""
    kept: bool
    """Whether the filters kept the record."""
    recorded: tuple[bool, ...]
    """Answers of the record, one a turn."""
    answered: tuple[bool, ...]
    """Answers of this detector to the same questions about the same sight."""


@dataclass(frozen=True)
class Stance:
    """What one detector says of the outcome of one unlabelled episode: whether success is the likelier side."""

    episode_id: str
    called: bool
    """By all cameras together."""
    cameras: Mapping[str, bool]
    """By each camera alone."""
    changed: tuple[bool, ...] = ()
    """By all cameras together when every frame is slightly changed, one an augmentation."""


@dataclass(frozen=True)
class Recalled:
    """A yes/no question of the anchor set."""

    image: str
    """Name of the image that it is about; questions about one image are one piece of evidence."""
    right: bool
    """The answer that it should have."""
    said: bool


@dataclass(frozen=True)
class Evidence:
    """All that is known before a decision; None where nobody looked."""

    parity: str
    """What is wrong with the candidate's export; empty if it repeats its golden samples."""
    labelled: Sides[Judged] | None = None
    games: Sides[Replayed] | None = None
    outcomes: Sides[Stance] | None = None
    anchor: Sides[Recalled] | None = None
    seconds: Sides[float] | None = None
    """Of judging the same requests one by one, measured in turn."""
