"""The two things that the rest of robo-dialog asks of a vision-language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ModelError

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


class PromptsFailed(ModelError):  # noqa: N818 - it carries the results of the other prompts
    """Some prompts got no answer, after all retries; the others did.

    Only models behind a network raise it. `failures`: reason by index of the prompt. `results`: what the call would
    have returned, with NaN rows or empty texts for the failed prompts.
    """

    def __init__(self, failures: Mapping[int, str], results: npt.NDArray[np.float64] | list[str]) -> None:
        first = min(failures)
        super().__init__(
            f"{len(failures)} of {len(results)} prompts got no answer, the first because: {failures[first]}"
        )
        self.failures = dict(failures)
        self.results = results


class VLM(Protocol):
    """A chat model that sees images. Calls are batched; the order of results is the order of prompts."""

    @property
    def identity(self) -> str:
        """What tells this model from every other one: a digest of its weights, or the endpoint's name for it."""
        ...

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """Log-probability (N, O) that the model's turn begins with each option, normalised over the options.

        Raises:
            PromptsFailed: some prompts got no answer.
        """
        ...

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """One sampled continuation per prompt, without the end-of-turn mark. Same arguments, same texts.

        A prompt given several times is continued several times, each time anew.

        Raises:
            PromptsFailed: some prompts got no answer.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """A model that can say how alike images look; not every `VLM` is one."""

    def embed(self, images: Sequence[Image]) -> npt.NDArray[np.float64]:
        """Unit vectors (N, D)."""
        ...
