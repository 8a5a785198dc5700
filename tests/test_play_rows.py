"""Training rows: what each role learns from a kept dialog."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kept_dialogs import OPENING, PAIRINGS, dialog, frame, turn, view
from robo_dialog.play.rows import describer_rows, training_rows
from robo_dialog.play.views import augment


def said(row):
    return [(message.role, message.text) for message in row.messages]


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_describer_learns_its_answers_to_the_image_that_it_saw(pairing):
    describer, name, image = PAIRINGS[pairing]
    rows = list(training_rows([dialog(describer, pairing)], frame))
    assert [row.role for row in rows] == ["describer"] * (len(rows) - 1) + ["guesser"]
    assert said(rows[0]) == [("user", "Is the cube on the plate?"), ("assistant", "yes")]
    assert said(rows[1]) == [("user", "Is the gripper open?"), ("assistant", "no")]
    assert [row.sources for row in rows[:2]] == [("instruction",), ("sampled",)]
    for row in rows[:2]:
        assert row.image_names == (name,)
        assert np.array_equal(row.messages[0].images[0], image)


def test_across_views_an_answer_is_learned_in_both_views_of_the_target():
    rows = list(training_rows([dialog(PAIRINGS["cross_view"][0], "cross_view")], frame))
    assert [row.image_names for row in rows[:-1]] == [("second from the side.png",)] * 2 + [("second.png",)] * 2
    assert [said(row) for row in rows[2:4]] == [said(row) for row in rows[:2]]
    assert np.array_equal(rows[2].messages[0].images[0], frame("second"))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_guesser_learns_all_its_questions_and_the_targets_number_from_one(pairing):
    row = list(training_rows([dialog(PAIRINGS[pairing][0], pairing)], frame))[-1]
    assert said(row) == [
        ("user", OPENING),
        ("assistant", "Is the cube on the plate?"),
        ("user", "yes"),
        ("assistant", "Is the gripper open?"),
        ("user", "no. Which image is the target?"),
        ("assistant", "2"),
    ]
    assert row.trained == (False, True) * 3
    assert row.image_names == ("one.png", "second.png", "third-one.png")
    for image, frame_id in zip(row.messages[0].images, ("one", "second", "third-one"), strict=True):
        assert np.array_equal(image, frame(frame_id))
    assert [len(message.images) for message in row.messages[1:]] == [0] * 5


def test_a_guesser_that_saw_augmented_candidates_trains_on_those():
    candidates = (view("one", 3), view("one", 4))
    row = list(training_rows([dialog(view("one"), candidates=candidates, target=0)], frame))[-1]
    assert row.image_names == ("one-3.png", "one-4.png")
    assert np.array_equal(row.messages[0].images[1], augment(frame("one"), 4))


def test_dialogs_that_the_filters_did_not_keep_give_no_row():
    describer = view("second")
    lost = dialog(describer, outcome="lost").judged(("lost",))
    rejected = dialog(describer).judged(("lucky", "inconsistent"))
    aborted = dialog(describer, outcome="aborted", turns=(), guesses=()).judged(("aborted",))
    unjudged = dialog(describer, kept=False)
    assert list(training_rows([lost, rejected, aborted, unjudged], frame)) == []


def test_rows_come_one_dialog_after_another():
    asked = []

    def image_of(frame_id):
        asked.append(frame_id)
        return frame(frame_id)

    rows = training_rows([dialog(view("second")), dialog(view("a later one"))], image_of)
    next(rows)
    assert asked == ["second"]


def test_answers_that_contradict_each_other_are_not_learned():
    describer = PAIRINGS["cross_view"][0]
    one = dialog(describer, "cross_view", game_id=1)
    other = dialog(describer, "cross_view", game_id=2, turns=(turn(one.turns[0].question, False), one.turns[1]))
    rows = [row for row in training_rows([one, other], frame) if row.role == "describer"]
    assert {said(row)[0][1] for row in rows} == {"Is the gripper open?"}
    rejected = replace(other, kept=False)
    assert len([row for row in training_rows([one, rejected], frame) if row.role == "describer"]) == 4


def test_rows_of_the_describer_are_those_that_training_rows_has_by_episode():
    games = [dialog(view(name), game_id=number) for number, name in enumerate(("second", "a later one", "second"))]
    mine, all_rows = list(describer_rows(games, frame)), list(training_rows(games, frame))
    assert {row.image_names for row in mine} == {row.image_names for row in all_rows if row.role == "describer"}
    assert len(mine) == len([row for row in all_rows if row.role == "describer"])
    assert [row.image_names for row in mine] == sorted(row.image_names for row in mine)
