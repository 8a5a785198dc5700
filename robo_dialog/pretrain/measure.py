"""The abilities of `tiny` measured against the simulator's truth; labels are read here and only here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robo_dialog.pretrain.held_out import Outcome
from robo_dialog.pretrain.lessons import CANDIDATES, TURNS, next_question, telling_questions
from robo_dialog.pretrain.questions import Question, answer, sample_questions, state_questions
from robo_dialog.vlm.prompts import ANSWERS, ask_request, guess_options, guess_request
from robo_dialog.vlm.protocol import VLM, Image, Message, Prompt

VIEWS = ("front", "side")
"""Cameras that can see what the questions are about; the wrist often cannot."""


@dataclass(frozen=True)
class OracleGame:
    """Candidate images, the target's index, and telling questions with their true answers about it."""

    images: tuple[Image, ...]
    target: int
    turns: tuple[tuple[Question, bool], ...]
    instruction: str


def question_prompt(image: Image, text: str) -> Prompt:
    """One yes/no question about one image."""
    return (Message("user", text, (image,)),)


def state_accuracy(vlm: VLM, episodes: Sequence[Outcome], *, seed: int, each: int = 6) -> float:
    """Share of right answers to state questions, half of them with answer "yes", on single front and side views."""
    rng = np.random.default_rng(seed)
    prompts, truths = [], []
    for one in episodes:
        asked = sample_questions(one.state, one.goal, rng, 2 * each)
        about_state = [(question, truth) for question, truth in asked if question.kind != "success"][:each]
        for question, truth in about_state:
            for view in VIEWS:
                prompts.append(question_prompt(one.frames[view], question.text()))
                truths.append(truth)
    scores = vlm.score(prompts, ANSWERS)
    return float(((scores[:, 1] > scores[:, 0]) == np.array(truths)).mean())


def oracle_games(episodes: Sequence[Outcome], *, seed: int, count: int) -> list[OracleGame]:
    """Games whose dialogs, by true answers, leave one candidate; final frames of one view of different episodes."""
    rng = np.random.default_rng(seed)
    games: list[OracleGame] = []
    while len(games) < count:
        chosen = [episodes[i] for i in rng.choice(len(episodes), CANDIDATES, replace=False)]
        game = _oracle_game(chosen, rng)
        if game is not None:
            games.append(game)
    return games


def _oracle_game(chosen: Sequence[Outcome], rng: np.random.Generator) -> OracleGame | None:
    target, view = int(rng.integers(CANDIDATES)), VIEWS[int(rng.integers(2))]
    states = [one.state for one in chosen]
    options = telling_questions(states)
    alive, turns = set(range(CANDIDATES)), []
    for _ in range(TURNS):
        question = next_question(options, alive, rng)
        truth = answer(question, states[target])
        alive = {i for i in alive if answer(question, states[i]) == truth}
        turns.append((question, truth))
    if alive != {target}:
        return None
    return OracleGame(tuple(one.frames[view] for one in chosen), target, tuple(turns), chosen[0].goal.text())


def likelihood_guess_accuracy(vlm: VLM, games: Sequence[OracleGame]) -> float:
    """Share of games in which the target makes the given answers most likely, every candidate judged by itself."""
    prompts = [
        question_prompt(image, question.text()) for game in games for image in game.images for question, _ in game.turns
    ]
    scores = vlm.score(prompts, ANSWERS).reshape(len(games), CANDIDATES, TURNS, 2)
    said = np.array([[int(truth) for _, truth in game.turns] for game in games])
    likelihood = np.take_along_axis(scores, said[:, None, :, None], axis=3).sum((2, 3))
    targets = np.array([game.target for game in games])
    return float((likelihood.argmax(1) == targets).mean())


def prompt_guess_accuracy(vlm: VLM, games: Sequence[OracleGame]) -> float:
    """Share of games in which the model, shown all candidates and the dialog, names the target's number."""
    scores = vlm.score([_guess_prompt(game) for game in games], guess_options(CANDIDATES))
    return float((scores.argmax(1) == np.array([game.target for game in games])).mean())


def _guess_prompt(game: OracleGame) -> Prompt:
    messages = [Message("user", ask_request(CANDIDATES, game.instruction), game.images)]
    for number, (question, truth) in enumerate(game.turns, start=1):
        word = ANSWERS[truth].strip()
        messages.append(Message("assistant", question.text()))
        messages.append(Message("user", guess_request(word) if number == len(game.turns) else word))
    return tuple(messages)


def wellformed_share(vlm: VLM, games: Sequence[OracleGame], *, seed: int) -> float:
    """Share of sampled first questions (temperature 1) that are, to the letter, questions about the world's objects."""
    prompts = [(Message("user", ask_request(CANDIDATES, game.instruction), game.images),) for game in games]
    texts = vlm.generate(prompts, seed=seed, temperature=1.0, max_tokens=24)
    known = {Question(q.kind, q.a, q.b, wording).text().lower() for q in state_questions() for wording in (0, 1)}
    return float(np.mean([text.lower() in known for text in texts]))
