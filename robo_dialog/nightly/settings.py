"""What a nightly run is told; plain values, so that `--help` needs no heavy package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robo_dialog.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """What a night may use. What does not fit is left for the next night, and said in an alarm."""

    hours: float = 6.0
    """Longest time of one start; a stage that is not done by then is ended, and the night with it."""
    games: int = 20_000
    """Games of a round; those about a quarter of the episodes are not learned from, they judge the candidate."""
    rounds: int = 1
    """Rounds of self-improvement; one that makes nothing better is the last."""
    free_gigabytes: float = 5.0
    """Space on the disk without which nothing is begun."""

    def __post_init__(self) -> None:
        """Refuse budgets that allow nothing."""
        if not (self.hours > 0 and self.games >= 1 and self.rounds >= 1 and self.free_gigabytes >= 0):
            raise ConfigError(
                f"budget: hours {self.hours:g}, games {self.games} and rounds {self.rounds} must be positive, "
                f"free-gigabytes {self.free_gigabytes:g} not negative"
            )


@dataclass(frozen=True)
class Memory:
    """How long things are kept."""

    window: int = 7
    """Nights whose episodes are learned from together: the last ones that were not refused."""
    nights: int = 30
    """Nights whose folders are kept whole; of older ones the report stays."""
    bundles: int = 30
    """Versions of the store that are kept, the youngest; champion and previous always are."""

    def __post_init__(self) -> None:
        """Refuse to forget what is in use."""
        if not 1 <= self.window <= self.nights or self.bundles < 2:
            raise ConfigError(
                f"memory: window {self.window} must be from 1 to nights ({self.nights}), bundles ({self.bundles}) at "
                "least 2"
            )


@dataclass(frozen=True)
class Bounds:
    """From where on something is an alarm, or a reason to learn nothing."""

    fewest: int = 20
    """Episodes below which a night has too little to learn from; they wait for the next."""
    garbage: float = 0.2
    """Share of frames that are blank or noise, above which a night is refused."""
    drift: float = 0.45
    """Largest Kolmogorov-Smirnov distance of picture statistics from those of the nights before, from 0 to 1."""
    yes_share: float = 0.25
    """How far the champion's share of successes on new episodes may be from its mean of the nights before."""
    diversity: float = 0.5
    """Share of the usual number of different word pairs in questions, below which they have collapsed."""
    luck: float = 0.1
    """By how much games may be won without answers more often than by chance."""
    disagreement: float = 0.25
    """Share of the same episodes on which this night's candidate and the champion differ."""
    refusals: int = 3
    """Nights in a row in which no candidate was good enough."""
    reward: float = 0.15
    """By how much the share of verdicts SUCCESS may rise while what people and simulators saw does not."""


@dataclass(frozen=True)
class ServerChoice:
    """A server of the store that must take a new champion, or the store goes back to the one of before."""

    address: str | None = None
    """`host:port`; none is asked when left out."""
    tls_root: Path | None = None
    """PEM file of the authority that signed its certificate."""
    token: Path | None = None
    """File with a token of scope infer."""
    patience: float = 120.0
    """Seconds that it may take."""


@dataclass(frozen=True)
class Options:
    """Words that are added to the commands of the stages."""

    ingest: tuple[str, ...] = ()
    improve: tuple[str, ...] = ()
    promote: tuple[str, ...] = ()
