"""P(yes) of questions about images, as one model gives it and as the pool calibrates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robo_dialog.play.proposals import answer_prompt
from robo_dialog.play.words import Lexicon
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import VLM, Image, PromptsFailed

Floats = npt.NDArray[np.float64]
T = TypeVar("T", npt.NDArray[np.float64], list[str])


@dataclass(frozen=True)
class Sight:
    """An image and the instruction of the episode that it is of."""

    image: Image
    instruction: str


@dataclass(frozen=True)
class Judgement:
    """Answers to (sight, question) pairs, in their order.

    margins: (N,) logit of "yes" minus that of "no"; NaN where the model gave no answer. failures: reason by index.
    """

    margins: Floats
    failures: Mapping[int, str]


@dataclass(frozen=True)
class Offsets:
    """What is subtracted from margins, by family of question, where the question concerns the episode."""

    lexicon: Lexicon
    by_family: Mapping[str, float] = field(default_factory=dict)

    def of(self, question: str, instruction: str) -> float:
        """The offset of one question about one episode, in logits."""
        offset = self.by_family.get(self.lexicon.family(question), 0.0)
        return offset if offset and self.lexicon.concerns(question, instruction) else 0.0


def judge(vlm: VLM, pairs: Sequence[tuple[Sight, str]]) -> Judgement:
    """Ask the model every pair; equal ones once."""
    place: dict[tuple[int, str], int] = {}
    where = [place.setdefault((id(sight.image), question), len(place)) for sight, question in pairs]
    first = dict(zip(reversed(where), reversed(pairs), strict=True))
    prompts = [answer_prompt(first[index][0].image, first[index][1]) for index in range(len(place))]
    scores, failed = attempted(lambda: vlm.score(prompts, ANSWERS))
    margins = scores[:, 1] - scores[:, 0]
    return Judgement(margins[where], {i: failed[index] for i, index in enumerate(where) if index in failed})


def p_yes(pairs: Sequence[tuple[Sight, str]], margins: Floats, offsets: Offsets) -> Floats:
    """Calibrated P(yes), (N,)."""
    asked = [(question, sight.instruction) for sight, question in pairs]
    shift = {one: offsets.of(*one) for one in set(asked)}
    return sigmoid(margins - np.array([shift[one] for one in asked]))


def sigmoid(margins: Floats) -> Floats:
    """P(yes) of margins, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(margins / 2)))


def attempted(call: Callable[[], T]) -> tuple[T, dict[int, str]]:
    """The call's results and the reasons of the prompts that failed for good."""
    try:
        return call(), {}
    except PromptsFailed as error:
        return error.results, error.failures  # type: ignore[return-value]
