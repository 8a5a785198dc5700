"""What is found out about a pool and a model before the first game: which Guesser, which offsets, which words.

All of it label-free, and kept in the run's folder, so that an interrupted run goes on with the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.play.bank import gather
from robo_dialog.play.dialog import Dialog
from robo_dialog.play.engine import Engine
from robo_dialog.play.filters import Vocabulary
from robo_dialog.play.judging import Answers, Known, Offsets, attempted, judge, sight_of
from robo_dialog.play.moments import Moment
from robo_dialog.play.proposals import Bank, Proposal
from robo_dialog.play.settings import GuesserKind
from robo_dialog.play.splitting import FEWEST, Split, robust_split, split
from robo_dialog.play.words import Lexicon, words
from robo_dialog.vlm.prompts import CAPTION_REQUEST, success_question
from robo_dialog.vlm.protocol import VLM, Image, Message

TRIAL_GAMES = 48
"""Games by which the Guesser is chosen, and whose questions show which families there are."""
POPULATION = 120
"""Most answers that one offset is found from."""
OUTCOMES = 400
"""Most outcomes that the boundary of a family of instructions is found from."""
CAPTIONS = 48
TRIAL_SEED = 2**31
"""Number of the first trial game, beyond the numbers of all others."""


@dataclass(frozen=True)
class Preparation:
    """Decided before the first game."""

    guesser: GuesserKind
    trials: dict[str, float]
    """Share of the trial games won in every rotation, by Guesser; empty where the settings name the Guesser."""
    splits: dict[str, Split] = field(default_factory=dict)
    """How the answers to each family of questions split; offsets follow from it."""
    own: dict[str, Split] = field(default_factory=dict)
    """The same of tests of instructions, put to episodes of these very instructions."""
    caption_words: tuple[str, ...] = ()
    bank: Bank = field(default_factory=dict)

    @property
    def offsets(self) -> dict[str, float]:
        """By family; only those that change something."""
        return {family: found.offset for family, found in self.splits.items() if found.offset}

    def offsets_by(self, lexicon: Lexicon) -> Offsets:
        """For a pool with this lexicon."""
        own = {family: found.threshold for family, found in self.own.items() if found.trust}
        return Offsets(lexicon, self.offsets, own)

    def vocabulary(self, instructions: Sequence[str]) -> Vocabulary:
        """What questions may be made of."""
        said = frozenset(word for instruction in instructions for word in words(instruction))
        return Vocabulary(said, frozenset(self.caption_words))

    def as_json(self) -> dict[str, Any]:
        """Plain values; offset and trust of every split are spelled out for readers."""
        splits, own = (
            {
                family: {**asdict(found), "trust": found.trust, "offset": found.offset}
                for family, found in sorted(some.items())
            }
            for some in (self.splits, self.own)
        )
        bank = {own: [[one.question, one.source] for one in some] for own, some in self.bank.items()}
        return {
            "guesser": self.guesser,
            "trials": self.trials,
            "splits": splits,
            "own": own,
            "caption_words": self.caption_words,
            "bank": bank,
        }


def from_json(values: dict[str, Any], path: Path) -> Preparation:
    """The preparation that `as_json` wrote to `path`.

    Raises:
        ConfigError: the file holds something else.
    """
    try:
        names = ("threshold", "separation", "upper_share", "count")
        splits, own = (
            {family: Split(*(found[name] for name in names)) for family, found in values[key].items()}
            for key in ("splits", "own")
        )
        bank = {own: tuple(Proposal(*one) for one in some) for own, some in values["bank"].items()}
        return Preparation(values["guesser"], values["trials"], splits, own, tuple(values["caption_words"]), bank)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: is damaged ({error!r}); delete the folder and play again") from error


def prepare(
    engine: Engine, moments: Sequence[Moment], answered: Callable[[Bank], Known] = lambda bank: {}
) -> Preparation:
    """Trial games, captions, the bank of questions and the splits of the pool's answers.

    Args:
        engine: of the run, without offsets.
        moments: of the pool.
        answered: gives what the model answers to a bank's questions about the pool; splits need not ask that again.

    Raises:
        ModelError: the model gives no answers.
    """
    finals = [moment for moment in moments if moment.final]
    trials = _trials(engine)
    played = [dialog for dialogs in trials.values() for dialog in dialogs]
    if all(dialog.outcome == "aborted" for dialog in played):
        first = played[0]
        raise ModelError(f"{first.model}: no trial game could be played, the first because: {first.abort_reason}")
    wins: dict[str, float] = {kind: _robust_wins(dialogs) for kind, dialogs in trials.items()}
    guesser = max(trials, key=lambda kind: wins[kind])
    asked = {turn.question for dialog in played for turn in dialog.turns}
    asked |= {success_question(instruction) for instruction in engine.instructions}
    found = Preparation(guesser, wins if len(trials) > 1 else {}, caption_words=_caption_words(engine, finals))
    size = engine.settings.questions.bank
    bank = gather(engine, finals, found.vocabulary(engine.instructions), size) if size else {}
    asked |= {proposal.question for some in bank.values() for proposal in some}
    found = replace(found, bank=bank)
    if not engine.settings.calibrate:
        return found
    known = answered(bank) if bank else {}
    splits, own = _splits(engine, sorted(asked), finals, known), _own_splits(engine, finals, known)
    return replace(found, splits=splits, own=own)


def _trials(engine: Engine) -> dict[GuesserKind, list[Dialog]]:
    wanted = engine.settings.guesser
    kinds: tuple[GuesserKind, ...] = ("likelihood", "prompt") if wanted == "auto" else (wanted,)
    numbers = range(TRIAL_SEED, TRIAL_SEED + TRIAL_GAMES)
    return {kind: replace(engine, guesser=kind).play(numbers) for kind in kinds}


def _robust_wins(dialogs: Sequence[Dialog]) -> float:
    return float(np.mean([bool(d.guesses) and all(guess == d.target for guess in d.guesses) for d in dialogs]))


def _splits(engine: Engine, questions: Sequence[str], finals: Sequence[Moment], known: Known) -> dict[str, Split]:
    """Margins of every family, put to the outcomes that it concerns and averaged over their cameras, split."""
    lexicon = engine.offsets.lexicon
    populations: dict[str, list[tuple[str, Moment]]] = {}
    for question in questions:
        mine = populations.setdefault(lexicon.family(question), [])
        mine += [(question, moment) for moment in finals if lexicon.concerns(question, moment.instruction)]
    found = {}
    rng = np.random.default_rng([engine.dealer.seed, 6])
    for family, population in sorted(populations.items()):
        drawn = [population[i] for i in rng.permutation(len(population))[:POPULATION]]
        if len(drawn) >= FEWEST:
            found[family] = split(_fused(engine, drawn, known))
    return found


def _own_splits(engine: Engine, finals: Sequence[Moment], known: Known) -> dict[str, Split]:
    """Margins of every outcome's own instruction, by family of instructions; some of them succeeded, some did not."""
    populations: dict[str, list[tuple[str, Moment]]] = {}
    rng = np.random.default_rng([engine.dealer.seed, 9])
    for place in rng.permutation(len(finals)):
        question = success_question(finals[place].instruction)
        populations.setdefault(engine.offsets.lexicon.family(question), []).append((question, finals[place]))
    large = {family: some[:OUTCOMES] for family, some in sorted(populations.items()) if len(some) >= FEWEST}
    return {family: robust_split(_fused(engine, some, known)) for family, some in large.items()}


def _fused(engine: Engine, population: Sequence[tuple[str, Moment]], known: Known) -> list[float]:
    """Mean margin over the cameras of each moment; without those that the model did not answer."""
    frames = [(frame, question) for question, moment in population for frame in moment.frames.values()]
    images = engine.images_of([frame for frame, question in frames if (frame, question) not in known])
    pairs = [
        (sight_of(images, frame, moment.instruction), question)
        for question, moment in population
        for frame in moment.frames.values()
    ]
    margins = judge(engine.vlm, pairs, Answers(known)).margins
    ends = np.cumsum([len(moment.frames) for _, moment in population])
    means = [float(part.mean()) for part in np.split(margins, ends[:-1])]
    return [mean for mean in means if np.isfinite(mean)]


def _caption_words(engine: Engine, finals: Sequence[Moment]) -> tuple[str, ...]:
    rng = np.random.default_rng([engine.dealer.seed, 7])
    shown = [finals[i] for i in rng.permutation(len(finals))[:CAPTIONS]]
    frames = [next(iter(moment.frames.values())) for moment in shown]
    images = engine.images_of(frames)
    texts = captions(engine.vlm, [images[frame] for frame in frames])
    return tuple(sorted({word for text in texts for word in words(text)}))


def captions(vlm: VLM, images: Sequence[Image]) -> list[str]:
    """What the model says it sees, by its likeliest words."""
    prompts = [(Message("user", CAPTION_REQUEST, (image,)),) for image in images]
    texts, _ = attempted(lambda: vlm.generate(prompts, seed=0, temperature=0.0, max_tokens=48))
    return texts


def offsets_of(engine: Engine, preparation: Preparation) -> Offsets:
    """The offsets of a preparation, for the engine's pool."""
    return preparation.offsets_by(engine.offsets.lexicon)
