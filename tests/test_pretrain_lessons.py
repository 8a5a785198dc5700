"""What `tiny` is taught: true answers, questions that tell candidates apart, games that can be won."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_dialog.pretrain.data import Frames
from robo_dialog.pretrain.lessons import CANDIDATES, DIALOGS, QUESTIONS, game_rows, image_rows, telling_questions
from robo_dialog.pretrain.questions import GOALS, Question, answer, caption, sample_questions, state_questions
from robo_dialog.vlm.prompts import success_question
from robo_episodes.sim.state import NAMES, WORDINGS, Goal, State, all_goals

TABLE = State(
    present=frozenset({"red cube", "blue cube", "green ball"}),
    on_plate=frozenset({"blue cube"}),
    on_table=frozenset(),
    on_top=frozenset({("red cube", "blue cube")}),
    held="green ball",
    drawer=0.9,
)
EMPTY = State(frozenset({"red cube"}), frozenset(), frozenset({"red cube"}), frozenset(), None, 0.0)


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        (Question("present", "green ball"), True),
        (Question("present", "yellow ball"), False),
        (Question("on_plate", "blue cube"), True),
        (Question("on_plate", "red cube"), False),
        (Question("on_top", "red cube", "blue cube"), True),
        (Question("on_top", "blue cube", "red cube"), False),
        (Question("held", "green ball"), True),
        (Question("empty_gripper"), False),
        (Question("empty_plate"), False),
        (Question("stacked"), True),
        (Question("open"), True),
        (Question("closed"), False),
        (Question("count", "three"), True),
        (Question("success", "put the blue cube on the plate"), True),
        (Question("success", "pick up the green ball"), True),
        (Question("success", "close the drawer"), False),
    ],
)
def test_answers_are_true_of_the_state(question: Question, truth: bool) -> None:
    assert answer(question, TABLE) is truth


def test_an_instruction_names_one_goal_only() -> None:
    count = sum(len(WORDINGS[goal.family]) for goal in all_goals())
    assert len(GOALS) == count


def test_success_questions_are_those_of_the_served_detector() -> None:
    assert Question("success", "lift the red cube").text() == success_question("lift the red cube")


def test_questions_are_not_mostly_no() -> None:
    rng = np.random.default_rng(0)
    truths = [t for _ in range(200) for _, t in sample_questions(TABLE, Goal("open"), rng, 7)]
    assert 0.35 < np.mean(truths) < 0.75


def test_no_kind_of_question_can_be_answered_without_looking() -> None:
    rng = np.random.default_rng(0)
    asked = [pair for _ in range(300) for pair in sample_questions(TABLE, Goal("open"), rng, 13)[1:]]
    for kind in ("present", "on_plate", "on_top", "held", "success"):
        truths = [truth for question, truth in asked if question.kind == kind]
        assert len(truths) > 50
        assert 0.35 < np.mean(truths) < 0.65


def test_the_first_question_is_about_the_episodes_own_instruction() -> None:
    asked = sample_questions(TABLE, Goal("lift", "red cube"), np.random.default_rng(0), 3)
    assert GOALS[asked[0][0].a] == Goal("lift", "red cube")


def test_telling_questions_have_both_answers() -> None:
    options = telling_questions([TABLE, EMPTY])
    assert options
    assert all(answer(q, TABLE) != answer(q, EMPTY) for q, _ in options)


def test_captions_say_what_is_there() -> None:
    assert caption(TABLE) == (
        "the blue cube on the plate, the red cube on the blue cube, the green ball in the gripper. the drawer is open."
    )
    assert caption(EMPTY) == "the red cube on the table. the drawer is closed."


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_every_question_text_is_said_once(names: set[str]) -> None:
    texts = [question.text() for question in state_questions(tuple(sorted(names)))]
    assert len(set(texts)) == len(texts)


def frames(states: list[State]) -> Frames:
    count = len(states)
    return Frames(
        images=np.zeros((count, 96, 96, 3), np.uint8),
        things=np.zeros((count, 8, 8), np.uint8),
        places=np.zeros((count, 8, 8), np.uint8),
        states=states,
        goals=[Goal("open")] * count,
        cameras=np.array(["front"] * count),
        episodes=np.arange(count),
    )


def test_rows_teach_the_assistants_words_only() -> None:
    rows = image_rows(frames([TABLE, EMPTY]), [0, 1], np.random.default_rng(0))
    assert [row.images for row in rows] == [(0,), (1,)]
    for row in rows:
        assert len(row.conversations) >= QUESTIONS
        assert all((turn.weight > 0) == (turn.role == "Assistant") for talk in row.conversations for turn in talk)


def test_a_guess_is_taught_only_where_the_answers_determine_it() -> None:
    same = game_rows(frames([EMPTY] * CANDIDATES), range(CANDIDATES), np.random.default_rng(0))
    assert len(same[0].conversations) == DIALOGS
    assert all(talk[-1].weight == 0.0 for talk in same[0].conversations)
    states = [
        State(EMPTY.present, EMPTY.on_plate, EMPTY.on_table, EMPTY.on_top, held, drawer)
        for held in (None, "red cube")
        for drawer in (0.0, 1.0)
    ]
    different = game_rows(frames(states), range(CANDIDATES), np.random.default_rng(0))
    assert any(talk[-1].weight == 1.0 for talk in different[0].conversations)
