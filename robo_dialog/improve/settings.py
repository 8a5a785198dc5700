"""How rounds are run; plain values, so that `--help` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from robo_dialog.errors import ConfigError
from robo_dialog.play.settings import Questions, Settings
from robo_dialog.tune.settings import TuneSettings


def games_of_a_round() -> Settings:
    """Games that are looked up in a bank of answers; the Describer sees what the Guesser does not."""
    return Settings(pairing="all_views", guesser="likelihood", questions=Questions(bank=12))


def tuning_of_a_round() -> TuneSettings:
    """Few steps on everything that was kept.

    Nothing is held out: on kept dialogs the loss of a model that already knows most of them soon rises again, long
    before what it learns about the others is learned.
    """
    return TuneSettings(steps=160, held_out=0.0)


@dataclass(frozen=True)
class RoundSettings:
    """One way of improving."""

    rounds: int = 3
    """Rounds at most; one that the gate refuses is the last."""
    games: int = 60_000
    """Games of a round."""
    held_out: float = 0.25
    """Share of the episodes from which nothing is learned: boundaries of success are found on them, and the gate looks
    at games about them."""
    start_share: float = 0.25
    """Share of the checkpoint that the run began with in the weights of a round's detector. Rounds go on from the tuned
    weights themselves; the average forgets less, and after several rounds knows more."""
    gate_games: int = 1000
    """Games that the gate plays anew, at most."""
    seed: int = 0
    play: Annotated[Settings, tyro.conf.arg(prefix_name=True)] = field(default_factory=games_of_a_round)
    tune: Annotated[TuneSettings, tyro.conf.arg(prefix_name=True)] = field(default_factory=tuning_of_a_round)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if min(self.rounds, self.games, self.gate_games) < 1 or self.seed < 0:
            counts = f"rounds {self.rounds}, games {self.games} and gate_games {self.gate_games}"
            raise ConfigError(f"{counts} must be at least 1, seed {self.seed} 0")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}, expected a share between 0 and 1")
        if not 0 <= self.start_share < 1:
            raise ConfigError(f"start_share is {self.start_share}, expected 0 to below 1")
