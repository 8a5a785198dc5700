"""The settings of pretraining; a plain value, so that `--help` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights besides the frames. Steps are optimiser steps, batches are images."""

    seed: int = 0
    vision_steps: int = 1200
    vision_batch: int = 48
    vision_lr: float = 1e-3
    steps: int = 5500
    batch: int = 32
    lr: float = 8e-4
    games_every: int = 4
    """One step in so many also plays games on its images."""
    games_from: float = 0.5
    """Share of the steps before the first game."""
    dense_weight: float = 0.3
    """Weight of the dense labels while questions are learned."""
