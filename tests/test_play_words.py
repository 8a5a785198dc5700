"""Families of questions and whom they concern, read off instructions of real and simulated pools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_dialog.play.words import lexicon, same_question, words
from robo_dialog.vlm.prompts import success_question

TABLETOP = [
    *(f"put the {thing} on the plate" for thing in ("red cube", "blue cube", "red ball")),
    "stack the red cube on the blue cylinder",
    "stack the blue cube on the red cylinder",
    "open the drawer",
    "pull the drawer open",
    "shut the drawer",
    "push the drawer shut",
]
SPATIAL = [
    f"pick up the black bowl {place} and place it on the plate"
    for place in ("next to the ramekin", "on the stove", "on the cookie box", "in the top drawer of the wooden cabinet")
]
GOALS = [
    "open the middle drawer of the cabinet",
    "open the bottom drawer of the cabinet",
    "open the top drawer and put the bowl inside",
    "open the top drawer and push the plate inside",
    "push the plate to the front of the stove",
    "put the bowl on top of the cabinet",
    "put the wine bottle on the rack",
    "put the bowl on the stove",
    "turn on the stove",
]
texts = st.lists(st.sampled_from([*words(" ".join(TABLETOP + SPATIAL + GOALS)), "zürich", "把方块"]), max_size=8).map(
    " ".join
)


def families(pool):
    known = lexicon(pool)
    return {instruction: known.family(success_question(instruction)) for instruction in pool}


def concerned(pool, question):
    known = lexicon(pool)
    return [instruction for instruction in pool if known.concerns(question, instruction)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is the RED cube on-top?  No!", ["is", "the", "red", "cube", "on-top", "no"]),
        ("isn't 'it' 2 cm", ["isn't", "it", "2", "cm"]),
        ("pick_up_the_cube", ["pick", "up", "the", "cube"]),
        ("Öffne die Schublade", ["öffne", "die", "schublade"]),
        ("把方块放到盘子上。", ["把方块放到盘子上"]),
        ("?!", []),
    ],
)
def test_words_are_those_of_any_language_without_punctuation(text, expected):
    assert list(words(text)) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Is the cube on the plate?", " is the  cube, on the plate", True),
        ("Is the cube on the plate?", "Is the plate on the cube?", False),
        (success_question("把方块放到盘子上"), success_question("打开抽屉"), False),
    ],
)
def test_questions_are_the_same_up_to_case_spaces_and_punctuation(one, other, same):
    assert same_question(one, other) is same


def test_questions_that_ask_alike_about_different_objects_are_one_family():
    known = lexicon(TABLETOP)
    assert known.family("Is the red cube on the plate?") == "is the _ _ on the plate"
    assert known.family("Is the blue ball on the plate?") == "is the _ _ on the plate"
    found = families(SPATIAL)
    assert found[SPATIAL[0]] != found[SPATIAL[1]]
    assert len(set(families([f"pick up the {x} and place it in the basket" for x in ("milk", "butter")]).values())) == 1


@pytest.mark.parametrize(
    ("pool", "one", "other"),
    [
        (TABLETOP, "open the drawer", "shut the drawer"),
        (TABLETOP, "pull the drawer open", "push the drawer shut"),
        (GOALS, "open the top drawer and put the bowl inside", "open the top drawer and push the plate inside"),
        (GOALS, "put the bowl on top of the cabinet", "put the bowl on the stove"),
    ],
)
def test_opposite_or_different_acts_are_never_one_family(pool, one, other):
    found = families(pool)
    assert found[one] != found[other]


def test_questions_of_opposite_states_are_never_one_family():
    known = lexicon(TABLETOP)
    assert known.family("Is the drawer open?") != known.family("Is the drawer shut?")


def test_which_drawer_is_masked_like_any_object():
    found = families(GOALS)
    assert found["open the middle drawer of the cabinet"] == found["open the bottom drawer of the cabinet"]
    known = lexicon(GOALS)
    assert known.family("Is the top drawer open?") == known.family("Is the middle drawer open?")
    assert "on top of" in known.family("Is the bowl on top of the cabinet?")


@pytest.mark.parametrize("pool", [TABLETOP, SPATIAL, GOALS])
def test_every_success_question_concerns_its_own_instruction(pool):
    known = lexicon(pool)
    for instruction in pool:
        assert known.concerns(success_question(instruction), instruction)


@pytest.mark.parametrize(
    ("pool", "question", "numbers"),
    [
        (TABLETOP, "Is the red cube on the plate?", [0]),
        (TABLETOP, "Is the cube on the plate?", [0, 1]),
        (TABLETOP, "Is the red cube on the blue cylinder?", [3]),
        (TABLETOP, "Is the drawer closed?", [5, 6, 7, 8]),
        (TABLETOP, success_question("open the drawer"), [5, 6]),
        (TABLETOP, success_question("shut the drawer"), [7, 8]),
        (["set the cube onto the plate", "get the cube off the plate"], success_question("get the cube off it"), [1]),
        (TABLETOP, success_question("stack the blue cube on the red cylinder"), [4]),
        (SPATIAL, "Is the black bowl on the plate?", [0, 1, 2, 3]),
        (SPATIAL, "Is the bowl on the cookie box?", [2]),
        (SPATIAL, "Is the cookie box in the top drawer?", []),
        (GOALS, "Is the top drawer open?", [2, 3]),
        (GOALS, success_question("open the middle drawer of the cabinet"), [0]),
        (GOALS, "Is the bowl on the cabinet?", [5]),
        (GOALS, "Is the bowl on top of the stove?", [7]),
        (GOALS, "Is the plate in front of the stove?", [4]),
        (GOALS, "Has the robot succeeded?", []),
        (GOALS, "Is it there?", []),
    ],
)
def test_a_question_concerns_the_instructions_that_name_all_its_objects(pool, question, numbers):
    assert concerned(pool, question) == [pool[number] for number in numbers]


@given(texts, texts)
def test_punctuation_and_case_change_neither_family_nor_concern(question, instruction):
    known = lexicon(TABLETOP + GOALS)
    loud = f"  {question.upper().replace(' ', ', ')}?!"
    assert known.family(loud) == known.family(question)
    assert known.concerns(loud, f"{instruction}.") == known.concerns(question, instruction)


@given(st.lists(texts, max_size=6))
def test_a_lexicon_depends_on_the_set_of_instructions_alone(instructions):
    assert lexicon(instructions) == lexicon([*reversed(instructions), *instructions])


@given(st.lists(texts, max_size=6), texts)
def test_a_familys_name_has_one_word_for_every_word_of_the_question(instructions, question):
    known = lexicon(instructions)
    masked = known.family(question).split()
    assert [one for one in words(question) if one not in known.slots] == [
        one for one, word in zip(masked, words(question), strict=True) if word not in known.slots
    ]


def test_no_instructions_give_a_lexicon_that_knows_nothing():
    known = lexicon(["", "..."])
    assert known == lexicon([])
    assert known.family("Is the cube red?") == "is the cube red"
    assert not known.concerns("Is the cube red?", "")
