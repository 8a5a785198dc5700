"""Plays many games at once: all games of a batch take every step together, so that the model sees large batches.

What a game does depends on the pool, the model, the settings, the seed and its number alone. The engine cannot see
labels: the moments that it is given have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from robo_dialog.play.dialog import Dialog, DialogTurn
from robo_dialog.play.frames import Unseen
from robo_dialog.play.guessers import Guesser, Judged, LikelihoodGuesser, PromptGuesser
from robo_dialog.play.judging import Answers, Floats, Known, Offsets, attempted, judge, shifted, sigmoid
from robo_dialog.play.proposals import Bank, Proposal, about_instructions, ask_prompt, sampled
from robo_dialog.play.sampling import Dealer
from robo_dialog.play.settings import GuesserKind, Settings
from robo_dialog.play.table import Table, lay, needed, record
from robo_dialog.play.words import same_question
from robo_dialog.vlm.protocol import VLM, Image


@dataclass(frozen=True)
class Engine:
    """All that games of one run have in common."""

    vlm: VLM
    dealer: Dealer
    settings: Settings
    images_of: Callable[[Sequence[str]], Mapping[str, Image]]
    """Frame ids to images."""
    instructions: tuple[str, ...]
    """All instructions of the pool, each once."""
    offsets: Offsets
    guesser: GuesserKind
    round_number: int = 0
    answers: Answers = field(default_factory=Answers)
    """Of the games in play."""
    bank: Bank = field(default_factory=dict)
    """Questions that are on offer, by instruction; empty: the model is asked for them in every turn."""
    known: Known = field(default_factory=dict)
    """What was answered before the first game."""

    def play(self, game_ids: Sequence[int]) -> list[Dialog]:
        """Play these games from beginning to end; those for which the model gave no answer are aborted.

        Nothing new is remembered from one call to the next: what is asked together would else depend on what was played
        before, and with it the last digits of answers.
        """
        return replace(self, answers=Answers(self.known))._play(game_ids)

    def _play(self, game_ids: Sequence[int]) -> list[Dialog]:
        deals = [self.dealer.deal(game_id) for game_id in game_ids]
        images = (
            Unseen(self.images_of) if self.bank else self.images_of([one for deal in deals for one in needed(deal)])
        )
        seed, rules = self.dealer.seed, self.settings.rules
        tables = [
            lay(deal, rules, game_id, seed, images, banked=bool(self.bank))
            for game_id, deal in zip(game_ids, deals, strict=True)
        ]
        for turn in range(self.settings.rules.turns):
            tables = self._answered(self._asked(tables, turn))
        tables = self._guessed(tables)
        model, pairing = self.vlm.identity, self.settings.pairing
        return [
            record(table, round_number=self.round_number, model=model, guesser=self.guesser, pairing=pairing)
            for table in tables
        ]

    @property
    def _guesser(self) -> Guesser:
        kind = LikelihoodGuesser if self.guesser == "likelihood" else PromptGuesser
        return kind(self.vlm, self.offsets, self.answers)

    def _asked(self, tables: Sequence[Table], turn: int) -> list[tuple[Table, Judged | None]]:
        """Every game that goes on with the question that is put in it."""
        offers, failures = self._offers(tables, turn)
        ready = [i for i, some in enumerate(offers) if some]
        playing = [tables[i] for i in ready]
        chosen = dict(zip(ready, self._guesser.choose(playing, [offers[i] for i in ready]), strict=True))
        after: list[tuple[Table, Judged | None]] = []
        for i, table in enumerate(tables):
            if table.game.phase == "over":
                after.append((table, None))
            elif i not in chosen:
                after.append((table.abort(failures.get(i, "nothing was left to ask")), None))
            elif (reason := chosen[i].failure) is not None:
                after.append((table.abort(reason), None))
            else:
                after.append((table.ask(chosen[i].proposal), chosen[i]))
        return after

    def _offers(self, tables: Sequence[Table], turn: int) -> tuple[list[list[Proposal]], dict[int, str]]:
        """Questions on offer at every table, none where the game is over, and why the model gave none."""
        if self.bank:
            return [self._banked(table, turn) for table in tables], {}
        share = self.settings.questions.hindsight
        tests = [table.generator(3, turn).random() < share for table in tables]
        offers = [self._tests(table, turn) if test else [] for table, test in zip(tables, tests, strict=True)]
        free = [i for i, table in enumerate(tables) if table.game.phase == "asking" and not offers[i]]
        texts, reasons = self._said([tables[i] for i in free], turn)
        for place, i in enumerate(free):
            offers[i] = sampled(texts[place], tables[i].asked) or self._tests(tables[i], turn)
        return offers, {free[place]: reason for place, reason in reasons.items() if not offers[free[place]]}

    def _banked(self, table: Table, turn: int) -> list[Proposal]:
        """What the bank has for a table: tests of instructions in some turns, else a few questions of its own."""
        if table.game.phase != "asking":
            return []
        how, rng = self.settings.questions, table.generator(5, turn)
        asked = table.asked
        left = [one for one in self.bank[table.instruction] if not any(same_question(one.question, q) for q in asked)]
        tests = [one for one in left if one.source != "sampled"]
        free = [one for one in left if one.source == "sampled"]
        if tests and (not free or rng.random() < how.hindsight):
            return tests
        return [free[i] for i in rng.permutation(len(free))[: how.samples]]

    def _tests(self, table: Table, turn: int) -> list[Proposal]:
        """Instructions that can be tested at this table; none where the game is over."""
        if table.game.phase != "asking":
            return []
        return about_instructions(table.instruction, self.instructions, table.asked, table.generator(5, turn))

    def _said(self, tables: Sequence[Table], turn: int) -> tuple[list[list[str]], dict[int, str]]:
        """What the model would ask at each table, several times, and why it said nothing at some."""
        if not tables:
            return [], {}
        how = self.settings.questions
        prompts = [
            ask_prompt(tuple(sight.look() for sight in table.seen), table.instruction, table.said)
            for table in tables
            for _ in range(how.samples)
        ]
        seed = int(tables[0].generator(4, turn).integers(2**31))
        texts, failed = attempted(
            lambda: self.vlm.generate(prompts, seed=seed, temperature=how.temperature, max_tokens=how.max_tokens)
        )
        each = [texts[start : start + how.samples] for start in range(0, len(texts), how.samples)]
        return each, {index // how.samples: reason for index, reason in failed.items()}

    def _answered(self, asked: Sequence[tuple[Table, Judged | None]]) -> list[Table]:
        """The Describer's answers, tested in the other sights of the target."""
        open_ones = [(table, put) for table, put in asked if put is not None]
        pairs = [(sight, put.proposal.question) for table, put in open_ones for sight in table.sights]
        judgement = judge(self.vlm, pairs, self.answers)
        calibrated = shifted(pairs, judgement.margins, self.offsets)
        after: list[Table] = []
        start = 0
        for table, put in asked:
            if put is None:
                after.append(table)
                continue
            end = start + len(table.sights)
            failure = next((judgement.failures[i] for i in range(start, end) if i in judgement.failures), None)
            if failure is not None:
                after.append(table.abort(failure))
            else:
                own = slice(start, start + len(table.described))
                after.append(table.answer(_turn(put, judgement.margins[own], calibrated[start:end])))
            start = end
        return after

    def _guessed(self, tables: Sequence[Table]) -> list[Table]:
        ready = [table for table in tables if table.game.phase == "guessing"]
        guesses = iter(self._guesser.guess(ready))
        after = []
        for table in tables:
            if table.game.phase != "guessing":
                after.append(table)
                continue
            said = next(guesses)
            if said.failure is not None:
                after.append(table.abort(said.failure))
            else:
                after.append(table.conclude(said.rotations, said.blank))
        return after


def _turn(put: Judged, raw: Floats, calibrated: Floats) -> DialogTurn:
    """What was asked and answered.

    Args:
        put: the question.
        raw: (V,) margins in the Describer's views.
        calibrated: (V + C,) calibrated margins in these views, then in the other sights of the target.
    """
    mean = sigmoid(calibrated[: len(raw)].mean())
    return DialogTurn(
        question=put.proposal.question,
        source=put.proposal.source,
        answer=bool(mean >= 0.5),
        p_yes=float(mean),
        raw_p_yes=float(sigmoid(raw.mean())),
        candidate_p_yes=put.candidate_p_yes,
        checks=tuple(sigmoid(calibrated[len(raw) :]).tolist()),
    )
