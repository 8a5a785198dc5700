"""P(yes) of questions about images, as one model gives it and as the pool calibrates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from robo_dialog.play.proposals import answer_prompt
from robo_dialog.play.words import Lexicon, same_question
from robo_dialog.vlm.prompts import ANSWERS, success_question
from robo_dialog.vlm.protocol import VLM, Image, PromptsFailed

Floats = npt.NDArray[np.float64]
Known: TypeAlias = Mapping[tuple[str, str], float]
"""Margins by the name of an image and the question about it."""
T = TypeVar("T", npt.NDArray[np.float64], list[str])


@dataclass(frozen=True)
class Sight:
    """An image, not yet looked at, and the instruction of the episode that it is of; images of one name are equal."""

    look: Callable[[], Image]
    instruction: str
    name: str


def sight_of(images: Mapping[str, Image], frame_id: str, instruction: str) -> Sight:
    """A frame as it was recorded."""
    return Sight(partial(images.__getitem__, frame_id), instruction, frame_id)


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
    own: Mapping[str, float] = field(default_factory=dict)
    """By family of tests of an instruction that are put to episodes of this very instruction."""

    def of(self, question: str, instruction: str) -> float:
        """The offset of one question about one episode, in logits."""
        family = self.lexicon.family(question)
        if family in self.own and same_question(question, success_question(instruction)):
            return self.own[family]
        offset = self.by_family.get(family, 0.0)
        return offset if offset and self.lexicon.concerns(question, instruction) else 0.0


class Answers:
    """Margins that a model gave before: in a later turn, or another game, it need not be asked again.

    Args:
        known: where to look first; is not added to.
    """

    def __init__(self, known: Known | None = None) -> None:
        self._known, self._new = known or {}, dict[tuple[str, str], float]()

    def get(self, name: str, question: str) -> float | None:
        """The margin of a question about an image, if it is remembered."""
        key = (name, question)
        return self._known[key] if key in self._known else self._new.get(key)

    def add(self, name: str, question: str, margin: float) -> None:
        """Remember one more."""
        self._new[name, question] = margin


def judge(vlm: VLM, pairs: Sequence[tuple[Sight, str]], answers: Answers | None = None) -> Judgement:
    """Ask the model every pair whose answer is not remembered; equal ones once."""
    answers = answers or Answers()
    known = [answers.get(sight.name, question) for sight, question in pairs]
    new = {
        (sight.name, question): (sight, question)
        for (sight, question), margin in zip(pairs, known, strict=True)
        if margin is None
    }
    scores, failed = attempted(
        lambda: vlm.score([answer_prompt(sight.look(), question) for sight, question in new.values()], ANSWERS)
    )
    found = dict(zip(new, (scores[:, 1] - scores[:, 0]).tolist(), strict=True))
    reasons = {key: failed[index] for index, key in enumerate(new) if index in failed}
    for key in new.keys() - reasons.keys():
        answers.add(*key, found[key])
    keys = [(sight.name, question) for sight, question in pairs]
    margins = [found[key] if margin is None else margin for key, margin in zip(keys, known, strict=True)]
    return Judgement(np.array(margins), {i: reasons[key] for i, key in enumerate(keys) if key in reasons})


def p_yes(pairs: Sequence[tuple[Sight, str]], margins: Floats, offsets: Offsets) -> Floats:
    """Calibrated P(yes), (N,)."""
    return sigmoid(shifted(pairs, margins, offsets))


def shifted(pairs: Sequence[tuple[Sight, str]], margins: Floats, offsets: Offsets) -> Floats:
    """Calibrated margins, (N,) in logits."""
    asked = [(question, sight.instruction) for sight, question in pairs]
    shift = {one: offsets.of(*one) for one in set(asked)}
    return margins - np.array([shift[one] for one in asked], np.float64)


def sigmoid(margins: npt.ArrayLike) -> Floats:
    """P(yes) of margins, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(np.asarray(margins, np.float64) / 2)), np.float64)


def attempted(call: Callable[[], T]) -> tuple[T, dict[int, str]]:
    """The call's results and the reasons of the prompts that failed for good."""
    try:
        return call(), {}
    except PromptsFailed as error:
        return error.results, error.failures  # type: ignore[return-value]
