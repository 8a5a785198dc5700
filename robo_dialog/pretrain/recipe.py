"""The settings of pretraining; plain values, so that `--help` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Part of the training with its own one-cycle learning rate."""

    name: str
    stream: int
    """Which stream of random numbers draws its data."""
    steps: int
    lr: float
    """Peak of the cycle."""
    games_every: int = 0
    """One step in so many also plays games on its images; 0: the dense labels alone are learned."""
    games_from: float = 0.0
    """Share of the steps before the first game."""

    balanced: bool = False
    """Whether "yes" and "no" are equally frequent within every kind of question."""

    def plays_at(self, step: int) -> bool:
        """Whether games are played at this step."""
        return step >= self.games_from * self.steps and step % self.games_every == 0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights besides the frames. Steps are optimiser steps, batches are images."""

    seed: int = 0
    vision_steps: int = 1200
    vision_batch: int = 48
    vision_lr: float = 1e-3
    steps: int = 5500
    lr: float = 8e-4
    polish_steps: int = 1900
    """A second cycle, on balanced questions."""
    polish_lr: float = 8e-4
    batch: int = 32
    dense_weight: float = 0.3
    """Weight of the dense labels while questions are learned."""

    def stages(self) -> tuple[Stage, ...]:
        """What is learned in which order."""
        return (
            Stage("vision", 6, self.vision_steps, self.vision_lr),
            Stage("answers", 7, self.steps, self.lr, games_every=4, games_from=0.5),
            Stage("polish", 8, self.polish_steps, self.polish_lr, games_every=6, balanced=True),
        )
