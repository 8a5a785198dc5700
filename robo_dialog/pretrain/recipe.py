"""The settings of pretraining; plain values, so that `--help` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Text = Literal["llama", "qwen3"]
"""Architecture of the language side, as transformers names it."""


@dataclass(frozen=True)
class Stage:
    """Part of the training with its own one-cycle learning rate."""

    name: str
    stream: int
    """Which stream of random numbers draws its data."""
    steps: int
    rate: float
    """Peak of the cycle."""
    talks: bool = True
    """Whether questions and captions are learned, or the dense labels alone."""
    games_every: int = 0
    """One step in so many also plays games on its images; 0: none does."""

    def plays_at(self, step: int) -> bool:
        """Whether games are played at this step."""
        return self.games_every > 0 and step % self.games_every == 0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights besides the frames. Steps are optimiser steps, batches are images."""

    seed: int = 0
    text: Text = "llama"
    """Architecture of the language side; `tiny` as it is shipped has the first."""
    vision_steps: int = 2500
    """The vision tower alone, on the dense labels."""
    vision_batch: int = 48
    steps: int = 3600
    """Questions and captions."""
    game_steps: int = 2000
    """The same and games, in a second cycle."""
    batch: int = 32
    rate: float = 3e-3
    """Peak learning rate of the first cycles."""
    game_rate: float = 2e-3
    """Peak learning rate of the second cycle."""
    dense_weight: float = 0.3
    """Weight of the dense labels while questions are learned."""

    def stages(self) -> tuple[Stage, ...]:
        """What is learned in which order."""
        return (
            Stage("vision", 6, self.vision_steps, self.rate, talks=False),
            Stage("answers", 7, self.steps, self.rate),
            Stage("games", 8, self.game_steps, self.game_rate, games_every=5),
        )
