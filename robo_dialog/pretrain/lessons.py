"""What is said about the frames of one training step: questions, captions and games, drawn from their true states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robo_dialog.pretrain.data import Frames
from robo_dialog.pretrain.packing import Row, Turn
from robo_dialog.pretrain.questions import Question, answer, caption, sample_questions, state_questions
from robo_dialog.vlm.prompts import CAPTION_REQUEST, ask_request, guess_request
from robo_episodes.sim.state import Goal, State

QUESTIONS = 7
"""Yes/no questions packed per image; the first is about the episode's own instruction."""
CANDIDATES = 4
DIALOGS = 3
"""Dialogs packed per game, each with another target."""
TURNS = 3

_WORDS = {True: "yes", False: "no"}


def image_rows(frames: Frames, picks: Sequence[int], rng: np.random.Generator) -> list[Row]:
    """One row an image: QUESTIONS yes/no questions and, for a quarter of the images, a caption."""
    rows = []
    for slot, frame in enumerate(picks):
        asked = sample_questions(frames.states[frame], frames.goals[frame], rng, QUESTIONS)
        talks = [(Turn("User", question.text()), Turn("Assistant", _WORDS[truth], 1.0)) for question, truth in asked]
        if rng.random() < 0.25:
            talks.append((Turn("User", CAPTION_REQUEST), Turn("Assistant", caption(frames.states[frame]), 0.1)))
        rows.append(Row((slot,), tuple(talks)))
    return rows


def game_rows(frames: Frames, picks: Sequence[int], rng: np.random.Generator) -> list[Row]:
    """One row a game: the step's images in groups of CANDIDATES, DIALOGS dialogs each."""
    rows = []
    for first in range(0, len(picks) - CANDIDATES + 1, CANDIDATES):
        slots = tuple(range(first, first + CANDIDATES))
        group = [picks[slot] for slot in slots]
        states = [frames.states[frame] for frame in group]
        talks = tuple(_game(states, frames.goals[group[0]], rng) for _ in range(DIALOGS))
        rows.append(Row(slots, talks))
    return rows


def _game(states: Sequence[State], goal: Goal, rng: np.random.Generator) -> tuple[Turn, ...]:
    """A dialog by true states: telling questions, true answers, and the target's number if it is determined."""
    target = int(rng.integers(len(states)))
    alive = set(range(len(states)))
    turns = [Turn("User", ask_request(len(states), goal.text()))]
    options = telling_questions(states)
    for _ in range(TURNS):
        question = next_question(options, alive, rng)
        truth = answer(question, states[target])
        alive = {i for i in alive if answer(question, states[i]) == truth}
        turns.append(Turn("Assistant", question.text(), 0.15))
        turns.append(Turn("User", _WORDS[truth]))
    determined = 1.0 if alive == {target} else 0.0
    last = turns.pop()
    turns.append(Turn("User", guess_request(last.text)))
    turns.append(Turn("Assistant", str(target + 1), determined))
    return tuple(turns)


def telling_questions(states: Sequence[State]) -> list[tuple[Question, tuple[bool, ...]]]:
    """State questions about what is present whose answers differ between the states, with these answers."""
    names = tuple(sorted(set().union(*(state.present for state in states))))
    asked = [(q, tuple(answer(q, state) for state in states)) for q in state_questions(names)]
    return [(question, truths) for question, truths in asked if len(set(truths)) == 2]


def next_question(
    options: list[tuple[Question, tuple[bool, ...]]], alive: set[int], rng: np.random.Generator
) -> Question:
    """A random question that splits the candidates still alive; any telling one once a single candidate is left."""
    splitting = [q for q, truths in options if len({truths[i] for i in alive}) == 2]
    pool = splitting or [q for q, _ in options] or [Question("empty_plate")]
    kinds = sorted({question.kind for question in pool})
    kind = kinds[int(rng.integers(len(kinds)))]
    chosen = [question for question in pool if question.kind == kind]
    question = chosen[int(rng.integers(len(chosen)))]
    return Question(question.kind, question.a, question.b, int(rng.integers(2)))
