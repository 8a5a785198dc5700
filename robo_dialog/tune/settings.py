"""The settings of tuning; plain values, so that `--help` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robo_dialog.errors import ConfigError


@dataclass(frozen=True)
class TuneSettings:
    """How a checkpoint is tuned on training rows. Batches are examples: images with some of what is said about them."""

    steps: int = 400
    """Optimiser steps."""
    batch: int = 32
    """Examples a step."""
    accumulate: int = 1
    """Parts that a step's examples are computed in, for less memory."""
    questions: int = 7
    """Most conversations about the same images in one example."""
    guesser_share: float = 0.1
    """Share of a batch that is the Guesser's part (several images each), if there is any."""
    anchor_share: float = 0.25
    """Share of a batch that is anchor rows, if there are any."""
    augmented: float = 0.5
    """Share of the examples that are seen under a slight change of light and place."""
    rank: int = 32
    """Rank of LoRA."""
    alpha: int = 64
    """LoRA's scale is alpha / rank."""
    rate: float = 3e-3
    """Peak learning rate; a linear warm-up and a cosine down to nothing. Large models want 1e-4 to 2e-4."""
    held_out: float = 0.08
    """Share of the images whose rows are not learned but tell when to stop."""
    patience: int = 3
    """Checks in a row without a better loss on what is held out after which tuning stops; 10 checks a run."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the frozen weights; `auto`: bfloat16 on a GPU for a checkpoint that is stored so, else float32. What
    LoRA adds is always float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        for name in ("steps", "batch", "accumulate", "questions", "rank", "alpha", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("guesser_share", "anchor_share", "augmented", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 to below 1")
        if self.guesser_share + self.anchor_share >= 1:
            raise ConfigError("guesser_share and anchor_share leave nothing for the Describer's answers; lower one")
        if self.batch % self.accumulate:
            raise ConfigError(f"batch {self.batch} cannot be cut into {self.accumulate} equal parts; change one")
        if not self.rate > 0:
            raise ConfigError(f"rate is {self.rate}, expected more than 0")
