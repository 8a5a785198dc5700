"""Questions that a Guesser may put: sampled from the model, or testing an instruction. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from robo_dialog.play.dialog import Source
from robo_dialog.play.words import same_question, words
from robo_dialog.vlm.prompts import BLANK_ANSWER, ask_request, guess_request, success_question
from robo_dialog.vlm.protocol import Image, Message, Prompt

FOREIGN_INSTRUCTIONS = 3
"""Instructions of other episodes that are on offer when an instruction is tested."""


@dataclass(frozen=True)
class Proposal:
    """A question and who thought of it."""

    question: str
    source: Source


Bank: TypeAlias = Mapping[str, tuple[Proposal, ...]]
"""Questions by instruction, the test of the instruction itself first."""


def sampled(texts: Iterable[str], asked: Sequence[str]) -> list[Proposal]:
    """What the model said, cut after the first question mark; without what is no question or was asked before."""
    found: list[Proposal] = []
    for text in texts:
        head, mark, _ = text.partition("?")
        question = " ".join(f"{head}{mark}".split())
        known = [*asked, *(proposal.question for proposal in found)]
        if mark and len(words(question)) >= 2 and not any(same_question(question, one) for one in known):
            found.append(Proposal(question, "sampled"))
    return found


def about_instructions(
    own: str, others: Sequence[str], asked: Sequence[str], rng: np.random.Generator
) -> list[Proposal]:
    """Has the own instruction been carried out, or one of some others?

    Args:
        own: instruction of the target's episode.
        others: all instructions of the pool, each once.
        asked: questions of the game so far, which are not asked again.
        rng: draws the others.
    """
    foreign = [one for one in others if not same_question(one, own)]
    drawn = [foreign[i] for i in rng.permutation(len(foreign))[:FOREIGN_INSTRUCTIONS]]
    offers = [Proposal(success_question(own), "instruction")]
    offers += [Proposal(success_question(one), "hindsight") for one in drawn]
    return [offer for offer in offers if not any(same_question(offer.question, one) for one in asked)]


def ask_prompt(images: tuple[Image, ...], instruction: str, turns: Sequence[tuple[str, bool]]) -> Prompt:
    """What the Guesser is shown before it asks: all candidates, the instruction, the dialog so far."""
    messages = [Message("user", ask_request(len(images), instruction), images)]
    for question, answer in turns:
        messages += [Message("assistant", question), Message("user", _word(answer))]
    return tuple(messages)


def guess_prompt(
    images: tuple[Image, ...], instruction: str, turns: Sequence[tuple[str, bool]], *, blank: bool = False
) -> Prompt:
    """What a prompt Guesser is shown before it names a candidate; `blank` hides the answers.

    Raises:
        ValueError: nothing has been asked.
    """
    if not turns:
        raise ValueError("nothing has been asked")
    messages = list(ask_prompt(images, instruction, turns))
    if blank:
        messages = [Message("user", BLANK_ANSWER) if m.role == "user" and not m.images else m for m in messages]
    messages[-1] = Message("user", guess_request(messages[-1].text))
    return tuple(messages)


def answer_prompt(image: Image, question: str) -> Prompt:
    """One yes/no question about one image."""
    return (Message("user", question, (image,)),)


def _word(answer: bool) -> str:
    return "yes" if answer else "no"
