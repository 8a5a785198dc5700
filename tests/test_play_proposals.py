"""Questions on offer, and the prompts of a game as the model reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from play_builders import CUBE
from robo_dialog.play.proposals import (
    FOREIGN_INSTRUCTIONS,
    Proposal,
    about_instructions,
    answer_prompt,
    ask_prompt,
    guess_prompt,
    sampled,
)
from robo_dialog.play.words import same_question, words
from robo_dialog.vlm.prompts import success_question

IMAGES = tuple(np.full((2, 2, 3), level, np.uint8) for level in (10, 20, 30))
SAID = [("Is it open?", True), ("Is it shut?", False), ("Is it on?", True)]
OTHERS = [CUBE, "open the drawer", "shut the drawer", "lift the ball", "lift the red cube"]
said_by_a_model = st.lists(st.text(st.sampled_from("aB ?.\n'1"), max_size=20), max_size=6)


def texts(prompt):
    return [(message.role, message.text) for message in prompt]


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("Is the cube red?", "Is the cube red?"),
        ("  Is the\n cube  red? yes. Is it blue?", "Is the cube red?"),
        ("It moved. Is the cube red?", "It moved. Is the cube red?"),
    ],
)
def test_what_the_model_says_is_cut_after_its_first_question(said, question):
    assert sampled([said], []) == [Proposal(question, "sampled")]


@pytest.mark.parametrize("said", ["", "The cube is red.", "?", "Why?", "... ?"])
def test_what_is_no_question_is_dropped(said):
    assert sampled([said], []) == []


def test_questions_that_were_asked_or_said_before_are_dropped():
    said = ["Is it open?", "is it OPEN ?", "Is it shut?", "Is it on?"]
    assert [one.question for one in sampled(said, ["is it shut?"])] == ["Is it open?", "Is it on?"]


@given(said_by_a_model, said_by_a_model)
def test_sampled_questions_are_questions_and_all_different(said, asked):
    found = [one.question for one in sampled(said, asked)]
    for place, question in enumerate(found):
        assert question.endswith("?")
        assert question.count("?") == 1
        assert len(words(question)) >= 2
        assert question == " ".join(question.split())
        assert not any(same_question(question, other) for other in [*found[:place], *asked])
    assert sampled(found, asked) == sampled(said, asked)


def test_the_own_instruction_is_tested_first_and_then_some_of_others():
    own, *foreign = about_instructions(CUBE, OTHERS, [], np.random.default_rng(0))
    assert own == Proposal(success_question(CUBE), "instruction")
    assert len(foreign) == FOREIGN_INSTRUCTIONS
    assert {one.source for one in foreign} == {"hindsight"}
    assert {one.question for one in foreign} < {success_question(other) for other in OTHERS[1:]}


def test_every_foreign_instruction_has_its_turn():
    drawn = {one.question for seed in range(30) for one in about_instructions(CUBE, OTHERS, [], seeded(seed))}
    assert drawn == {success_question(instruction) for instruction in OTHERS}


def seeded(seed):
    return np.random.default_rng(seed)


def test_the_same_generator_draws_the_same_instructions():
    assert about_instructions(CUBE, OTHERS, [], seeded(3)) == about_instructions(CUBE, OTHERS, [], seeded(3))


def test_a_tested_instruction_is_not_tested_again():
    asked = [success_question(CUBE).upper(), success_question(OTHERS[1])]
    found = about_instructions(CUBE, OTHERS[:3], asked, seeded(0))
    assert [one.question for one in found] == [success_question(OTHERS[2])]
    assert about_instructions(CUBE, [CUBE], asked, seeded(0)) == []


def test_the_own_instruction_in_another_spelling_is_no_hindsight():
    found = about_instructions(CUBE, [CUBE, f"{CUBE}.", CUBE.title()], [], seeded(0))
    assert found == [Proposal(success_question(CUBE), "instruction")]


def test_the_guesser_sees_all_candidates_and_the_dialog_so_far():
    opening, *rest = ask_prompt(IMAGES, f" {CUBE}. ", SAID)
    assert opening.role == "user"
    assert opening.images == IMAGES
    assert f"These 3 images show attempts to {CUBE}." in opening.text
    assert texts(rest) == [
        ("assistant", "Is it open?"),
        ("user", "yes"),
        ("assistant", "Is it shut?"),
        ("user", "no"),
        ("assistant", "Is it on?"),
        ("user", "yes"),
    ]
    assert len(ask_prompt(IMAGES, CUBE, [])) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_guess_is_asked_for_with_the_last_answer(count):
    prompt = guess_prompt(IMAGES, CUBE, SAID[:count])
    assert prompt[:-1] == ask_prompt(IMAGES, CUBE, SAID[:count])[:-1]
    assert texts(prompt)[-1] == ("user", "yes. Which image is the target?")


@pytest.mark.parametrize("count", [1, 3])
def test_a_blank_dialog_hides_every_answer_and_nothing_else(count):
    blank = guess_prompt(IMAGES, CUBE, SAID[:count], blank=True)
    flipped = guess_prompt(IMAGES, CUBE, [(question, not answer) for question, answer in SAID[:count]], blank=True)
    assert blank == flipped
    shown = guess_prompt(IMAGES, CUBE, SAID[:count])
    assert blank[0] == shown[0]
    assert [m for m in blank if m.role == "assistant"] == [m for m in shown if m.role == "assistant"]
    assert texts(blank)[2::2] == [
        *[("user", "not answered")] * (count - 1),
        ("user", "not answered. Which image is the target?"),
    ]


def test_a_guess_before_any_question_is_refused():
    with pytest.raises(ValueError, match="nothing has been asked"):
        guess_prompt(IMAGES, CUBE, [])


@given(st.integers(0, 4))
def test_roles_take_turns_and_the_model_speaks_next(count):
    said = (SAID * 2)[:count]
    for prompt in (ask_prompt(IMAGES, CUBE, said), *([guess_prompt(IMAGES, CUBE, said)] if said else [])):
        assert [message.role for message in prompt] == (["user", "assistant"] * (count + 1))[: 2 * count + 1]


def test_an_answer_is_asked_about_one_image_alone():
    (message,) = answer_prompt(IMAGES[0], "Is it open?")
    assert (message.role, message.text, message.images) == ("user", "Is it open?", IMAGES[:1])
