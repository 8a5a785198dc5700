"""A `VLM` that says what plain functions tell it to, for tests and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ModelError
from robo_dialog.vlm.protocol import Prompt, PromptsFailed

T = TypeVar("T")

LEAST = 1e-9
"""Smallest probability of an option, so that sums of log-probabilities stay finite."""


class ScriptedVLM:
    """Two functions as a model.

        ScriptedVLM(answer=lambda prompt, options: (0.2, 0.8), say=lambda prompt, rng: "Is the cube on the plate?")

    Args:
        answer: of a prompt and the options, a weight for each option: its probability, up to a common factor.
        say: of a prompt and a random generator that depends on the seed and the prompt's place alone, a text.
        identity: what the model calls itself.

    Either may raise `ModelError` to have that prompt fail, as one behind a network does.
    """

    def __init__(
        self,
        answer: Callable[[Prompt, tuple[str, ...]], Sequence[float]],
        say: Callable[[Prompt, np.random.Generator], str],
        *,
        identity: str = "scripted",
    ) -> None:
        self._answer = answer
        self._say = say
        self._identity = identity

    @property
    def identity(self) -> str:
        """The name that it was given."""
        return self._identity

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `VLM.score`.

        Raises:
            PromptsFailed: `answer` raised ModelError for some prompts.
            ValueError: `answer` gave something else than one weight per option, none negative, some positive.
        """
        choices = tuple(options)
        rows, failures = _each(prompts, lambda _, prompt: _scores(self._answer(prompt, choices), choices))
        scores = np.full((len(prompts), len(choices)), np.nan)
        for index, row in rows.items():
            scores[index] = row
        if failures:
            raise PromptsFailed(failures, scores)
        return scores

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`; temperature and length are up to `say`, which does not hear of them.

        Raises:
            PromptsFailed: `say` raised ModelError for some prompts.
        """
        said, failures = _each(
            prompts, lambda index, prompt: self._say(prompt, np.random.default_rng((seed, index))).strip()
        )
        texts = [said.get(index, "") for index in range(len(prompts))]
        if failures:
            raise PromptsFailed(failures, texts)
        return texts


def _each(prompts: Sequence[Prompt], answer: Callable[[int, Prompt], T]) -> tuple[dict[int, T], dict[int, str]]:
    """Answers and reasons for there being none, by index of the prompt."""
    answers: dict[int, T] = {}
    failures: dict[int, str] = {}
    for index, prompt in enumerate(prompts):
        try:
            answers[index] = answer(index, prompt)
        except ModelError as error:
            failures[index] = str(error)
    return answers, failures


def _scores(weights: Sequence[float], options: tuple[str, ...]) -> npt.NDArray[np.float64]:
    values = np.asarray(weights, np.float64)
    if values.shape != (len(options),) or not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        raise ValueError(f"the script weighs options {list(options)} with {list(weights)}; give each a probability")
    shares = np.maximum(values / values.sum(), LEAST)
    return np.asarray(np.log(shares / shares.sum()))
