"""The two things that the rest of robo-dialog asks of a vision-language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""RGB, (H, W, 3)."""


@dataclass(frozen=True)
class Message:
    """One turn of a chat; `images` are shown before `text`."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()


Prompt = tuple[Message, ...]
"""A chat that the model is to continue as the assistant."""


class VLM(Protocol):
    """A chat model that sees images. Calls are batched; the order of results is the order of prompts."""

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """Log-probability (N, O) that the model's turn begins with each option, normalised over the options."""
        ...

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """One sampled continuation per prompt, without the end-of-turn mark. Same arguments, same texts."""
        ...
