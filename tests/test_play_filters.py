"""Every filter with dialogs that it must keep and dialogs that it must reject."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from play_builders import CUBE, TURNS, aborted, dialog, turn
from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import parse
from robo_dialog.play.filters import LONGEST_QUESTION, REASONS, Thresholds, Vocabulary, filters, judged
from robo_dialog.play.rules import rotations
from robo_dialog.play.words import words
from robo_dialog.vlm.prompts import success_question

VOCABULARY = Vocabulary(
    frozenset(words(f"{CUBE} close the drawer pick up the bowl")), frozenset(words("the gripper is dark and shadow"))
)
LONG = f"{CUBE} and " * 3 + "pick up the bowl and put it on the plate"


def reasons(game, vocabulary=VOCABULARY, **thresholds):
    (after,) = judged([game], vocabulary, Thresholds(**thresholds))
    assert after.kept == (after.reasons == ())
    return after.reasons


def asked(question, **changes):
    return dialog(turns=(turn(question, **changes), *TURNS[1:]))


def test_a_game_won_for_good_reasons_is_kept():
    assert reasons(dialog()) == ()


def test_the_reasons_come_in_the_order_of_the_design():
    assert REASONS == (
        "aborted",
        "lost",
        "position_biased",
        "lucky",
        "uninformative",
        "inconsistent",
        "duplicate_question",
        "degenerate",
    )
    bad = turn("Is the xqz bright?", candidate_p_yes=(0.5, 0.5, 0.5, 0.5), checks=(0.1,))
    all_but_the_first = dialog(guesser="prompt", outcome="won", guesses=(1, 0, 0, 0), blank_guess=1, turns=(bad, bad))
    assert reasons(all_but_the_first) == REASONS[2:]


@pytest.mark.parametrize("size", range(2, 9))
def test_the_smallest_and_the_largest_games_are_kept_and_rejected_alike(size):
    views = (dialog().candidates * 2)[:size]
    p_yes = tuple(0.9 if place % 2 else 0.1 for place in range(size))
    game = dialog(candidates=views, turns=(turn(candidate_p_yes=p_yes),), guesses=(1,) * size, blank_guess=0, target=1)
    assert reasons(game) == ()
    assert reasons(replace(game, guesses=(1,) * (size - 1) + (0,))) == ("position_biased",)
    assert reasons(replace(game, blank_guess=1, guesser="prompt")) == ("lucky",)
    alike = turn(candidate_p_yes=(0.6,) * size)
    assert reasons(replace(game, turns=(alike,))) == ("uninformative",)


@pytest.mark.parametrize("turns", [(), TURNS[:1], TURNS])
def test_an_aborted_game_is_rejected_as_aborted_alone(turns):
    assert reasons(aborted(turns)) == ("aborted",)


def test_a_lost_game_is_rejected():
    assert reasons(dialog(outcome="lost", guesses=(0, 1, 1, 1))) == ("lost",)
    assert reasons(dialog(outcome="lost", guesses=(0, 0, 0, 0), blank_guess=1)) == ("lost",)


@given(st.integers(2, 8), st.data())
def test_a_guesser_that_always_names_one_place_is_always_rejected(size, data):
    place, target = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    guesses = tuple(order[place] for order in rotations(size))
    outcome = "won" if guesses[0] == target else "lost"
    game = dialog(candidates=(dialog().candidates * 2)[:size], target=target, guesses=guesses, outcome=outcome)
    assert {"lost", "position_biased"} & set(reasons(game))


def test_a_game_that_is_won_without_the_answers_is_lucky():
    assert reasons(dialog(guesser="prompt", blank_guess=1)) == ("lucky",)
    assert reasons(dialog(guesser="prompt", blank_guess=3)) == ()


def test_the_dice_of_a_guesser_that_weighs_answers_cost_no_game():
    assert reasons(dialog(guesser="likelihood", blank_guess=1)) == ()


def test_a_question_that_parts_no_two_candidates_is_uninformative():
    alike = turn("Is the gripper open?", candidate_p_yes=(0.55, 0.45, 0.5, 0.6))
    assert reasons(dialog(turns=(*TURNS[:1], alike))) == ("uninformative",)
    assert reasons(dialog(turns=(*TURNS[:1], alike)), spread=0.1) == ()
    parted = turn("Is the gripper open?", candidate_p_yes=(0.55, 0.55, 0.55, 0.3))
    assert reasons(dialog(turns=(*TURNS[:1], parted))) == ()


def test_a_guesser_that_judges_no_candidate_is_never_uninformative():
    prompted = tuple(replace(one, candidate_p_yes=()) for one in TURNS)
    assert reasons(dialog(guesser="prompt", turns=prompted)) == ()
    assert reasons(dialog(guesser="prompt", turns=prompted, guesses=(1, 1, 0, 1))) == ("position_biased",)


@pytest.mark.parametrize(
    ("answer", "checks", "holds"),
    [
        (True, (0.5, 0.5), True),
        (True, (0.9, 0.4999), False),
        (True, (0.4999,), False),
        (False, (0.4999, 0.0), True),
        (False, (0.1, 0.5), False),
        (False, (), True),
    ],
)
def test_an_answer_that_does_not_hold_in_every_sight_is_inconsistent(answer, checks, holds):
    game = asked("Is the red cube on the plate?", answer=answer, checks=checks)
    assert reasons(game) == (() if holds else ("inconsistent",))


def test_a_question_put_twice_in_other_punctuation_is_a_duplicate():
    again = turn("is the red cube on the  plate ?")
    assert reasons(dialog(turns=(*TURNS[:2], again))) == ("duplicate_question",)
    other = turn("Is the plate on the red cube?")
    assert reasons(dialog(turns=(*TURNS[:2], other))) == ()
    assert reasons(dialog(turns=TURNS[:1])) == ()


@pytest.mark.parametrize(
    "question",
    [
        "Is the red cube on the plate",
        "Is the zorp on the plate?",
        "Is the image bright?",
        "Is there a shadow on the plate?",
        "Is it dark?",
        "Is the cube on the left?",
        f"Is the {'red ' * LONGEST_QUESTION} cube?",
    ],
)
def test_pixel_talk_private_words_and_rambling_are_degenerate(question):
    assert reasons(asked(question)) == ("degenerate",)


@pytest.mark.parametrize(
    "question",
    [
        "Is the gripper above the plate?",
        "Is the drawer closed?",
        "Has the robot picked up the bowls?",
        f"Is the {'red ' * (LONGEST_QUESTION - 3)} cube?",
    ],
)
def test_words_of_instructions_captions_and_plain_english_are_not_degenerate(question):
    assert reasons(asked(question)) == ()


def test_words_about_pictures_are_allowed_where_the_instructions_use_them():
    question = "Is the cube on the left edge of the plate?"
    assert reasons(asked(question)) == ("degenerate",)
    sided = Vocabulary(VOCABULARY.instructions | {"left", "edge"}, VOCABULARY.captions)
    assert reasons(asked(question), sided) == ()


def test_a_test_of_a_long_instruction_is_not_rambling():
    assert len(words(success_question(LONG))) > LONGEST_QUESTION
    assert reasons(asked(success_question(LONG), source="hindsight")) == ()
    assert reasons(asked(success_question(LONG), source="sampled")) == ("degenerate",)


unsure = st.floats(0.4998, 0.5002)


@given(st.booleans(), unsure, unsure, st.lists(st.floats(0.3998, 0.6002), min_size=4, max_size=4))
def test_a_dialog_is_judged_alike_before_and_after_it_is_written(answer, check, other, candidates):
    played = turn("Is the gripper open?", answer, checks=(check, other), candidate_p_yes=tuple(candidates))
    game = dialog(turns=(*TURNS[:1], played))
    assert reasons(parse(game.line())) == reasons(game)


def test_a_filter_changes_nothing_but_its_verdict():
    game = dialog(guesser="prompt", blank_guess=1)
    (after,) = judged([game], VOCABULARY, Thresholds())
    assert after == replace(game, kept=False, reasons=("lucky",))
    (again,) = judged([after], VOCABULARY, Thresholds())
    assert again == after


def test_every_filter_answers_for_itself():
    named = filters(VOCABULARY, Thresholds())
    assert [name for name, rejects in named.items() if rejects(dialog(guesser="prompt", blank_guess=1))] == ["lucky"]


@pytest.mark.parametrize("spread", [-0.1, 1.0, float("nan")])
def test_a_spread_that_can_never_or_always_hold_is_refused(spread):
    with pytest.raises(ConfigError, match="spread"):
        Thresholds(spread=spread)
