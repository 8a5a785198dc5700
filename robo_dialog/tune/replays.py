"""Games of a run played anew: the questions of the record, one detector in both roles. Knows no label.

Whoever plays a game describes its target and judges its candidates by himself, so that a detector which sees the same
in every view wins. Answers are calibrated to the population of what is asked, as play does, and for each detector anew:
a shift of the domain must not decide which of two is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import Dialog, View, read_dialogs
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.guessing import best_guess, posterior
from robo_dialog.play.judging import Offsets, sigmoid
from robo_dialog.play.splitting import split
from robo_dialog.play.words import lexicon
from robo_dialog.tune.evidence import Replayed
from robo_dialog.tune.judges import Judge
from robo_dialog.tune.margins import BATCH, Query, images_of


def read_games(path: Path, most: int) -> list[Dialog]:
    """The first games of a file of dialogs that came to their end.

    Args:
        path: dialogs.jsonl or kept.jsonl of a run.
        most: how many at most.

    Raises:
        ConfigError: the file is missing or damaged, or holds no such game.
    """
    games = [dialog for dialog in read_dialogs(path) if dialog.outcome != "aborted" and dialog.turns][:most]
    if not games:
        raise ConfigError(f"{path}: holds no game that came to its end; play some with: robo-dialog play")
    return games


def replay(
    judge: Judge,
    store: FrameStore,
    games: Sequence[Dialog],
    instructions: Mapping[str, str],
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, Replayed]:
    """Play games anew; those with a question that got no answer are left out.

    Args:
        judge: the detector, in both roles.
        store: frames of the pool that was played over.
        games: with at least one turn each.
        instructions: by episode id.
        on_batch: called with the number of answers that are known, and of all, after every batch.

    Returns:
        By number of the game, in their order.

    Raises:
        ModelError: the detector takes no questions.
        PoolError: the pool has no such frame.
    """
    asked = {query: instructions[view.episode_id] for game in games for view, query in _asked(game)}
    by_frame = sorted(asked, key=lambda query: query.frame_id)  # so that each is looked at once
    known = _answers(judge, store, by_frame, on_batch)
    offsets = _offsets(asked, known)
    shifted = np.array([margin - offsets.of(query.wording, asked[query]) for query, margin in known.items()])
    p_yes = dict(zip(known, sigmoid(shifted).tolist(), strict=True))
    family = offsets.lexicon.family
    return {
        game.game_id: _replayed(game, p_yes, family(game.instruction))
        for game in games
        if all(query in p_yes for _, query in _asked(game))
    }


def _asked(game: Dialog) -> Iterator[tuple[View, Query]]:
    for view in (game.describer, *game.candidates):
        for turn in game.turns:
            yield view, _query(view, turn.question)


def _query(view: View, question: str) -> Query:
    return Query(view.frame_id, question, view.augmentation)


def _answers(
    judge: Judge, store: FrameStore, queries: Sequence[Query], on_batch: Callable[[int, int], None]
) -> dict[Query, float]:
    """Margins of what was answered."""
    known: dict[Query, float] = {}
    for start in range(0, len(queries), BATCH):
        some = queries[start : start + BATCH]
        found = judge.answers(images_of(store, some), [query.wording for query in some])
        known |= {query: margin for query, margin in zip(some, found.tolist(), strict=True) if np.isfinite(margin)}
        on_batch(start + len(some), len(queries))
    return known


def _offsets(asked: Mapping[Query, str], known: Mapping[Query, float]) -> Offsets:
    """By family of question, of those sights that it concerns; see `splitting`."""
    words = lexicon(asked.values())
    populations: dict[str, list[float]] = defaultdict(list)
    for query, margin in known.items():
        if words.concerns(query.wording, asked[query]):
            populations[words.family(query.wording)].append(margin)
    return Offsets(words, {family: split(margins).offset for family, margins in populations.items()})


def _replayed(game: Dialog, p_yes: Mapping[Query, float], family: str) -> Replayed:
    questions = [turn.question for turn in game.turns]
    answered = tuple(p_yes[_query(game.describer, question)] >= 0.5 for question in questions)
    judged = [[p_yes[_query(view, question)] for view in game.candidates] for question in questions]
    guess = best_guess(posterior(judged, answered), np.random.default_rng([game.seed, game.game_id]))
    return Replayed(
        game_id=game.game_id,
        episode_id=game.describer.episode_id,
        family=family,
        won=guess == game.target,
        chance=1 / len(game.candidates),
        kept=game.kept,
        recorded=tuple(turn.answer for turn in game.turns),
        answered=answered,
    )
