"""What a base model is taught about Meta-World's source tasks: training rows with true answers. Reads labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metaworld_tasks import Task
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import Moment, read_moments
from robo_dialog.play.rows import Role, Row
from robo_dialog.tune.labels import read_labels
from robo_dialog.vlm.prompts import ANSWERS, CAPTION_REQUEST, ask_request, guess_request, success_question
from robo_dialog.vlm.protocol import Image, Message, Prompt
from robo_episodes.pool import FramePool
from robo_episodes.pool_metadata import read_metadata

CANDIDATES, TURNS = 4, 3
"""Of a game."""
STARTED, BEGUN = 0.35, 0.1
"""Share of the way from which on nothing is said of the state, and up to which all is as it was before."""
NEAR, FAR = 0.13, 0.2
"""Distances of hand and thing, in metres: near up to the first, not near from the second on."""
OVER, BESIDE = 0.06, 0.12
"""Horizontal distances: above the thing up to the first, not above it from the second on."""
Truths = Mapping[str, bool]
"""Answers by question, of those that the facts decide."""


@dataclass(frozen=True)
class Lesson:
    """One outcome and all that is known of it."""

    moment: Moment
    task: Task
    truths: Truths


def truths_of(task: Task, success: bool, facts: Mapping[str, float]) -> Truths:
    """What can be said of an outcome.

    Args:
        task: of the source.
        success: the simulator's label.
        facts: as the maker of the episodes notes them.
    """
    found = {success_question(task.instruction): success}
    if success or facts["done"] <= STARTED:
        found[task.done] = success
    if task.before and (success or facts["done"] <= BEGUN):
        found[task.before] = not success
    distance = math.hypot(facts["beside"], facts["above"])
    if not NEAR < distance < FAR:
        found[f"Is the gripper near the {task.thing}?"] = distance <= NEAR
    if not OVER < facts["beside"] < BESIDE:
        found[f"Is the gripper above the {task.thing}?"] = facts["beside"] <= OVER and facts["above"] > 0
    return found


def lessons(pool: FramePool, tasks: Sequence[Task]) -> list[Lesson]:
    """Everything that a labelled pool of source tasks teaches."""
    labels, metadata = read_labels(pool), read_metadata(pool.path)
    by_name = {f"{task.name}-v3": task for task in tasks}
    found = []
    for moment in read_moments(pool):
        if moment.final:
            told = metadata[moment.episode_id]
            facts = {name: float(str(told[name])) for name in ("done", "beside", "above")}
            task = by_name[str(told["task"])]
            found.append(Lesson(moment, task, truths_of(task, labels[moment.episode_id].success, facts)))
    return found


def answer_rows(some: Sequence[Lesson], store: FrameStore) -> Iterator[Row]:
    """The Describer's part: all questions about all outcomes, in every view, and what can be seen."""
    for lesson in some:
        for frame in lesson.moment.frames.values():
            image = store.image(frame)
            for question, answer in lesson.truths.items():
                messages = (Message("user", question, (image,)), Message("assistant", _word(answer)))
                yield _row("describer", lesson.task, messages, (frame,))
            if seen := caption(lesson.truths):
                messages = (Message("user", CAPTION_REQUEST, (image,)), Message("assistant", seen))
                yield _row("describer", lesson.task, messages, (frame,))


def game_rows(some: Sequence[Lesson], store: FrameStore, count: int, seed: int) -> Iterator[Row]:
    """The Guesser's part: games about outcomes of one task, with true answers."""
    rng = np.random.default_rng([seed, 1])
    by_task: dict[str, list[Lesson]] = {}
    for lesson in some:
        by_task.setdefault(lesson.task.name, []).append(lesson)
    groups = [group for group in by_task.values() if len(group) >= CANDIDATES]
    for _ in range(count):
        group = groups[int(rng.integers(len(groups)))]
        chosen = [group[i] for i in rng.permutation(len(group))[:CANDIDATES]]
        target = int(rng.integers(CANDIDATES))
        cameras = sorted(chosen[0].moment.frames)
        camera = cameras[int(rng.integers(len(cameras)))]
        frames = tuple(lesson.moment.frames[camera] for lesson in chosen)
        if len(set(frames)) == CANDIDATES and len(chosen[target].truths) >= TURNS:
            images = tuple(store.image(frame) for frame in frames)
            yield _row("guesser", chosen[target].task, _game(chosen, target, images, rng), frames)


def caption(truths: Truths) -> str:
    """What is true of an outcome, as sentences: "the drawer is open. the gripper is near the drawer."."""
    said = [question for question, answer in truths.items() if answer and question.startswith("Is ")]
    return " ".join(_statement(question) for question in said)


def _statement(question: str) -> str:
    """ "Is the drawer open?" as "the drawer is open."; things have one word here."""
    the, thing, *rest = question.removeprefix("Is ").removesuffix("?").split()
    return " ".join([the, thing, "is", *rest]) + "."


def _game(chosen: Sequence[Lesson], target: int, images: tuple[Image, ...], rng: np.random.Generator) -> Prompt:
    truths = chosen[target].truths
    asked = [list(truths)[i] for i in rng.permutation(len(truths))[:TURNS]]
    messages = [Message("user", ask_request(len(images), chosen[target].task.instruction), images)]
    for number, question in enumerate(asked, start=1):
        word = _word(truths[question])
        messages.append(Message("assistant", question))
        messages.append(Message("user", guess_request(word) if number == TURNS else word))
    return (*messages, Message("assistant", str(target + 1)))


def _row(role: Role, task: Task, messages: Prompt, frames: tuple[str, ...]) -> Row:
    names = tuple(f"{frame}.png" for frame in frames)
    return Row(role, messages, names, (), task.instruction, "same", 0, 0)


def _word(answer: bool) -> str:
    return ANSWERS[answer].strip()
