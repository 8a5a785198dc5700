"""The simulator's truth about pools made from its own recordings: for measuring games afterwards, never for playing."""

from __future__ import annotations

import json
from pathlib import Path

import h5py

from robo_dialog.play.words import words
from robo_dialog.pretrain.questions import GOALS, Question, answer, state_questions
from robo_episodes.pool import FramePool
from robo_episodes.sim.record import state_from_facts
from robo_episodes.sim.state import State


class Truth:
    """Right answers to questions about the final states of a pool's episodes."""

    def __init__(self, pool: FramePool) -> None:
        self._states = {episode.id: _final_state(episode.source) for episode in pool.episodes()}
        asked = [Question(q.kind, q.a, q.b, wording) for q in state_questions() for wording in (0, 1)]
        asked += [Question("success", instruction) for instruction in GOALS]
        self._questions = {_key(question.text()): question for question in asked}

    def of(self, question: str, episode_id: str) -> bool | None:
        """The true answer, or None if the question is not one that the simulator's facts decide."""
        known = self._questions.get(_key(question))
        return None if known is None else answer(known, self._states[episode_id])


def _key(question: str) -> str:
    return " ".join(words(question))


def _final_state(source: str) -> State:
    path, _, place = source.partition("#")
    with h5py.File(Path(path)) as file:
        return state_from_facts(json.loads(file[place]["facts"][-1]))
