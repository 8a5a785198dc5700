"""Everything that decides the dialogs besides the pool and the model; plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from robo_dialog.errors import ConfigError
from robo_dialog.play.rules import Rules

GuesserKind = Literal["prompt", "likelihood"]
Kind = Literal["same_task", "same_episode", "nearest", "random"]
Pairing = Literal["same", "augmented", "cross_view", "all_views"]


@dataclass(frozen=True)
class Mix:
    """How often distractors are chosen in which way; weights, not necessarily summing to 1."""

    same_task: float = 1.0
    """Outcomes of other attempts at the instruction, or at the most similar ones where there are too few."""
    same_episode: float = 0.0
    """Earlier frames of the same attempt (ingest with --last-k or --first), then as same_task."""
    nearest: float = 0.0
    """Outcomes whose final frames look most alike to the model."""
    random: float = 0.0
    """Any other outcomes."""

    def __post_init__(self) -> None:
        """Refuse weights that say nothing."""
        weights = [getattr(self, one.name) for one in fields(self)]
        if not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ConfigError(
                f"mix: the weights are {weights}; give at least one positive and none negative or infinite"
            )


@dataclass(frozen=True)
class Questions:
    """Where questions come from."""

    samples: int = 4
    """Questions that the model is asked for at every turn; the most telling one is put."""
    temperature: float = 1.0
    """Sampling temperature of questions."""
    max_tokens: int = 24
    """Longest question, in tokens."""
    hindsight: float = 0.35
    """Share of turns in which the question tests an instruction, the episode's own or that of another episode."""

    bank: int = 0
    """Questions of the model's own about each instruction that are answered for the whole pool before the first game;
    thousands of games then take seconds. 0: questions are thought of in every game."""

    def __post_init__(self) -> None:
        """Refuse settings under which nothing is asked."""
        if self.bank < 0:
            raise ConfigError(f"questions: bank is {self.bank}, expected a number of questions, or 0")
        if self.samples < 1 or self.max_tokens < 4 or not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"questions: samples {self.samples}, max-tokens {self.max_tokens} and temperature {self.temperature} "
                "must be at least 1, at least 4 and positive"
            )
        if not 0 <= self.hindsight <= 1:
            raise ConfigError(f"questions: hindsight is {self.hindsight}, expected a share from 0 to 1")


@dataclass(frozen=True)
class Settings:
    """One way of playing."""

    rules: Rules = field(default_factory=Rules)
    pairing: Pairing = "cross_view"
    """What the Describer sees: the Guesser's view, an augmentation of it, another camera at the same moment, or all
    cameras but the Guesser's, whose answers it averages."""
    mix: Mix = field(default_factory=Mix)
    guesser: Literal["auto", "prompt", "likelihood"] = "auto"
    """How the Guesser works; `auto` takes what wins more of a few trial games."""
    questions: Questions = field(default_factory=Questions)
    calibrate: bool = True
    """Whether answers are calibrated to the pool, where their scores lie in two heaps."""
    cameras: tuple[str, ...] = ()
    """Only these cameras; empty: all."""
