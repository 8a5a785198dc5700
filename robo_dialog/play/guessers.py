"""The two Guessers: one shown everything at once, one that judges every candidate by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robo_dialog.play.guessing import Floats, best_guess, information_gain, posterior
from robo_dialog.play.judging import Answers, Offsets, attempted, judge, p_yes
from robo_dialog.play.proposals import Proposal, guess_prompt
from robo_dialog.play.rules import rotations
from robo_dialog.play.table import Table
from robo_dialog.vlm.prompts import guess_options
from robo_dialog.vlm.protocol import VLM, Prompt


@dataclass(frozen=True)
class Guesses:
    """What one Guesser said at the end of one game, or why it could not."""

    rotations: tuple[int, ...] = ()
    """Per rotation, as an index into the candidates in their first order."""
    blank: int = 0
    failure: str | None = None


class Guesser(Protocol):
    """Names the candidate; both Guessers put the question of their choice."""

    def choose(self, tables: Sequence[Table], offers: Sequence[Sequence[Proposal]]) -> list[Judged]:
        """One of the offered questions for every table, put to every candidate."""
        ...

    def guess(self, tables: Sequence[Table]) -> list[Guesses]:
        """The candidate in every rotation, and after the blanked dialog."""
        ...


@dataclass(frozen=True)
class Judged:
    """A proposal with the Guesser's P(yes) for every candidate (N,), or why there is none."""

    proposal: Proposal
    candidate_p_yes: tuple[float, ...] = ()
    failure: str | None = None


def judged(
    vlm: VLM, offsets: Offsets, answers: Answers, tables: Sequence[Table], offers: Sequence[Sequence[Proposal]]
) -> list[list[Judged]]:
    """Every offered question put to every candidate of its table."""
    flat = [(table, offer) for table, some in zip(tables, offers, strict=True) for offer in some]
    pairs = [(sight, offer.question) for table, offer in flat for sight in table.seen]
    judgement = judge(vlm, pairs, answers)
    calibrated = p_yes(pairs, judgement.margins, offsets)
    found: list[Judged] = []
    start = 0
    for table, offer in flat:
        places = range(start, start + len(table.seen))
        start = places.stop
        failure = next((judgement.failures[i] for i in places if i in judgement.failures), None)
        found.append(Judged(offer, tuple(calibrated[places.start : places.stop].tolist()), failure))
    ends = np.cumsum([0, *map(len, offers)])
    return [found[a:b] for a, b in itertools.pairwise(ends)]


@dataclass(frozen=True)
class LikelihoodGuesser:
    """Sums log P(answer | candidate, question) over the turns; puts the question that tells most."""

    vlm: VLM
    offsets: Offsets
    answers: Answers

    def choose(self, tables: Sequence[Table], offers: Sequence[Sequence[Proposal]]) -> list[Judged]:
        """The offer of the highest expected information gain."""
        options = judged(self.vlm, self.offsets, self.answers, tables, offers)
        return [_most_telling(table, some) for table, some in zip(tables, options, strict=True)]

    def guess(self, tables: Sequence[Table]) -> list[Guesses]:
        """The likeliest candidate. It is the same in every order; without answers all are equal, and chance decides."""
        found = []
        for table in tables:
            size = len(table.seen)
            named = best_guess(_weights(table), table.generator(8))
            found.append(Guesses((named,) * size, best_guess(np.ones(size), table.generator(9))))
        return found


@dataclass(frozen=True)
class PromptGuesser:
    """Is shown all candidates and the dialog in one prompt and names a number."""

    vlm: VLM
    offsets: Offsets
    answers: Answers

    def choose(self, tables: Sequence[Table], offers: Sequence[Sequence[Proposal]]) -> list[Judged]:
        """The first question that the model thought of, or a random one of those that test instructions."""
        picks = [
            some[0] if some[0].source == "sampled" else some[int(table.generator(7).integers(len(some)))]
            for table, some in zip(tables, offers, strict=True)
        ]
        return [one for (one,) in judged(self.vlm, self.offsets, self.answers, tables, [[pick] for pick in picks])]

    def guess(self, tables: Sequence[Table]) -> list[Guesses]:
        """One prompt per rotation and one with the answers blanked."""
        if not tables:
            return []
        size = len(tables[0].seen)
        prompts = [prompt for table in tables for prompt in _guess_prompts(table)]
        scores, failures = attempted(lambda: self.vlm.score(prompts, guess_options(size)))
        orders = [*rotations(size), tuple(range(size))]
        found = []
        for number in range(len(tables)):
            rows = range(number * len(orders), (number + 1) * len(orders))
            failure = next((failures[row] for row in rows if row in failures), None)
            if failure is not None:
                found.append(Guesses(failure=failure))
                continue
            named = [order[int(scores[row].argmax())] for row, order in zip(rows, orders, strict=True)]
            found.append(Guesses(tuple(named[:-1]), named[-1]))
        return found


def _guess_prompts(table: Table) -> list[Prompt]:
    images = tuple(sight.look() for sight in table.seen)
    turned = [tuple(images[i] for i in order) for order in rotations(len(images))]
    return [
        *(guess_prompt(some, table.instruction, table.said) for some in turned),
        guess_prompt(images, table.instruction, table.said, blank=True),
    ]


def _most_telling(table: Table, offers: Sequence[Judged]) -> Judged:
    answered = [offer for offer in offers if offer.failure is None]
    if not answered:
        return offers[0]
    gains = information_gain(_weights(table), np.array([offer.candidate_p_yes for offer in answered]))
    return answered[int(gains.argmax())]


def _weights(table: Table) -> Floats:
    """Probability of each candidate after the turns so far."""
    if not table.turns:
        return np.full(len(table.seen), 1 / len(table.seen))
    return posterior([turn.candidate_p_yes for turn in table.turns], [turn.answer for turn in table.turns])
