"""A game in play: the pure state of the rules together with what lies on the table and what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.judging import Sight, sight_of
from robo_dialog.play.moments import Moment
from robo_dialog.play.proposals import Proposal
from robo_dialog.play.rules import Game, Rules
from robo_dialog.play.sampling import Deal
from robo_dialog.play.settings import GuesserKind, Pairing
from robo_dialog.play.views import augment
from robo_dialog.vlm.protocol import Image


@dataclass(frozen=True)
class Table:
    """One game with its images; advanced by making a new one.

    `seen`: the Guesser's sight of every candidate. `described`: the Describer's sights of the target. `checks`: other
    sights of the target, in which an answer must hold.
    """

    game: Game
    deal: Deal
    game_id: int
    seed: int
    seen: tuple[Sight, ...]
    described: tuple[Sight, ...]
    checks: tuple[Sight, ...]
    proposal: Proposal | None = None
    turns: tuple[DialogTurn, ...] = ()

    @property
    def instruction(self) -> str:
        """Instruction of the target's episode."""
        return self.described[0].instruction

    @property
    def sights(self) -> tuple[Sight, ...]:
        """All sights of the target that are asked: the Describer's first."""
        return (*self.described, *self.checks)

    @property
    def said(self) -> list[tuple[str, bool]]:
        """Questions and answers so far."""
        return [(turn.question, turn.answer) for turn in self.turns]

    @property
    def asked(self) -> list[str]:
        """Questions so far."""
        return [turn.question for turn in self.turns]

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers of this game for one purpose, whatever was drawn before."""
        return np.random.default_rng([self.seed, 2, self.game_id, *purpose])

    def ask(self, proposal: Proposal) -> Table:
        """The Guesser puts a question."""
        return replace(self, game=self.game.asked(proposal.question), proposal=proposal)

    def answer(self, turn: DialogTurn) -> Table:
        """The Describer answers it."""
        return replace(self, game=self.game.answered(turn.p_yes), proposal=None, turns=(*self.turns, turn))

    def conclude(self, guesses: tuple[int, ...], blank_guess: int) -> Table:
        """The Guesser names the candidate, in every rotation and after the blanked dialog."""
        return replace(self, game=self.game.guessed(guesses, blank_guess))

    def abort(self, reason: str) -> Table:
        """The game cannot go on."""
        return replace(self, game=self.game.aborted(reason), proposal=None)


def lay(
    deal: Deal, rules: Rules, game_id: int, seed: int, images: Mapping[str, Image], *, banked: bool = False
) -> Table:
    """The table of one game.

    Args:
        deal: what is on it.
        rules: size of the game.
        game_id: its number.
        seed: seed of the run.
        images: frame id to image, for at least the frames of `needed`.
        banked: answers are known beforehand, so that another view, and no augmentation, is what tests them.
    """
    target = deal.candidates[deal.target]
    seen = tuple(_sight(moment, deal.guesser_camera, images) for moment in deal.candidates)
    described = tuple(_sight(target, camera, images) for camera in deal.describer_cameras)
    if deal.augmentation is not None:
        described = tuple(_augmented(sight, deal.augmentation) for sight in described)
    checks = _checks(deal, seen[deal.target], described, banked=banked)
    return Table(Game(rules, deal.target), deal, game_id, seed, seen, described, checks)


def _checks(deal: Deal, seen: Sight, described: tuple[Sight, ...], *, banked: bool) -> tuple[Sight, ...]:
    """Sights in which an answer must hold.

    One view alone does not call into question what several say together: where it says something else, it is what is
    to be corrected.
    """
    if len(described) > 1:
        return () if banked else (_augmented(described[0], deal.check),)
    other = () if deal.guesser_camera in deal.describer_cameras else (seen,)
    return other if other and banked else (_augmented(described[0], deal.check), *other)


def _sight(moment: Moment, camera: str, images: Mapping[str, Image]) -> Sight:
    return sight_of(images, moment.frames[camera], moment.instruction)


def _augmented(sight: Sight, seed: int) -> Sight:
    return Sight(lambda: augment(sight.look(), seed), sight.instruction, f"{sight.name}-{seed}")


def needed(deal: Deal) -> list[str]:
    """Ids of the frames that a deal shows."""
    target = deal.candidates[deal.target]
    return [
        *(moment.frames[deal.guesser_camera] for moment in deal.candidates),
        *(target.frames[camera] for camera in deal.describer_cameras),
    ]


def record(table: Table, *, round_number: int, model: str, guesser: GuesserKind, pairing: Pairing) -> Dialog:
    """The dialog of a game that is over."""
    deal, game = table.deal, table.game
    target = deal.candidates[deal.target]
    described = tuple(_view(target, camera, deal.augmentation) for camera in deal.describer_cameras)
    return Dialog(
        game_id=table.game_id,
        seed=table.seed,
        round=round_number,
        model=model,
        guesser=guesser,
        pairing=pairing,
        sampling=deal.kind,
        instruction=table.instruction,
        candidates=tuple(_view(moment, deal.guesser_camera) for moment in deal.candidates),
        target=deal.target,
        describer=described[0],
        others=described[1:],
        turns=table.turns,
        guesses=game.guesses,
        blank_guess=game.blank_guess,
        outcome=game.outcome,
        abort_reason=game.abort_reason,
    )


def _view(moment: Moment, camera: str, augmentation: int | None = None) -> View:
    return View(moment.frames[camera], moment.episode_id, camera, moment.from_end, augmentation)
