"""The line of a game: written and read without loss, rounded once, and named where it is damaged."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from play_builders import TURNS, aborted, dialog, turn, view
from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import DIGITS, Dialog, DialogTurn, View, parse, read_dialogs

probabilities = st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
turns = st.builds(
    DialogTurn,
    question=texts,
    source=st.sampled_from(["sampled", "instruction", "hindsight"]),
    answer=st.booleans(),
    p_yes=probabilities,
    raw_p_yes=probabilities,
    candidate_p_yes=st.lists(probabilities, max_size=8).map(tuple),
    checks=st.lists(probabilities, max_size=2).map(tuple),
)
views = st.builds(
    View,
    frame_id=texts,
    episode_id=texts,
    camera=texts,
    from_end=st.integers(0, 1000),
    augmentation=st.none() | st.integers(0, 2**31),
)
games = st.builds(
    Dialog,
    game_id=st.integers(0, 2**33),
    seed=st.integers(0, 2**32),
    round=st.integers(0, 99),
    model=texts,
    guesser=st.sampled_from(["prompt", "likelihood"]),
    pairing=st.sampled_from(["same", "augmented", "cross_view"]),
    sampling=st.sampled_from(["same_task", "same_episode", "nearest", "random"]),
    instruction=texts,
    candidates=st.lists(views, min_size=2, max_size=3).map(tuple),
    target=st.integers(0, 7),
    describer=views,
    turns=st.lists(turns, max_size=2).map(tuple),
    guesses=st.lists(st.integers(0, 7), max_size=3).map(tuple),
    blank_guess=st.none() | st.integers(0, 7),
    outcome=st.sampled_from(["won", "lost", "aborted"]),
    abort_reason=st.none() | texts,
    kept=st.booleans(),
    reasons=st.lists(st.sampled_from(["lost", "lucky"]), max_size=2).map(tuple),
)


@given(games)
def test_a_line_is_read_back_as_the_dialog_that_was_written(game):
    line = game.line()
    assert "\n" not in line
    assert "\r" not in line
    assert parse(line) == game
    assert parse(line).line() == line


@given(turns)
def test_numbers_are_rounded_once(played):
    assert replace(played) == played
    for number in (played.p_yes, played.raw_p_yes, *played.candidate_p_yes, *played.checks):
        assert number == round(number, DIGITS)


def test_a_line_is_short_and_names_every_field():
    one = turn(p_yes=1 / 3, candidate_p_yes=(2 / 3, 1e-9))
    line = dialog(turns=(one,)).line()
    assert '"p_yes":0.3333,' in line
    assert '"candidate_p_yes":[0.6667,0.0]' in line
    assert list(json.loads(line)) == [field.name for field in fields(Dialog)]


def test_any_language_is_written_as_it_is_read():
    assert "把方块放到盘子上" in dialog(instruction="把方块放到盘子上").line()


def test_reasons_decide_whether_a_dialog_is_kept():
    assert dialog().judged(()).kept
    rejected = dialog().judged(("lucky", "inconsistent"))
    assert (rejected.kept, rejected.reasons) == (False, ("lucky", "inconsistent"))
    assert rejected.judged(()) == dialog(kept=True)


def test_dialogs_of_a_file_come_in_order(tmp_path):
    some = [dialog(game_id=0), aborted(), dialog(game_id=2, instruction="a\u2028b\x85c", describer=view("e9"))]
    path = tmp_path / "dialogs.jsonl"
    path.write_text("".join(one.line() + "\n" for one in some), encoding="utf-8")
    assert list(read_dialogs(path)) == some
    path.write_text("")
    assert list(read_dialogs(path)) == []


GOOD = dialog().line()


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        GOOD[:100].encode(),
        b"[]",
        b"null",
        b"7",
        b"{}",
        GOOD.replace('"target":1,', "").encode(),
        GOOD.replace('"target":1,', '"target":1,"more":1,').encode(),
        GOOD.replace('"candidates":[', '"candidates":[7,').encode(),
        GOOD.replace('"turns":[', '"turns":["a",').encode(),
        GOOD.replace("cube", "c\xfcbe").encode("latin-1"),
        bytes(range(128, 256)),
    ],
)
def test_a_damaged_line_is_named_with_its_number_and_the_remedy(tmp_path, bad):
    path = tmp_path / "dialogs.jsonl"
    path.write_bytes(f"{GOOD}\n".encode() + bad + b"\n")
    found = read_dialogs(path)
    assert next(found) == dialog()
    with pytest.raises(ConfigError, match=r"dialogs\.jsonl: line 2 is no dialog .*robo-dialog play"):
        next(found)


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"dialogs\.jsonl: cannot be read .*robo-dialog play"):
        list(read_dialogs(tmp_path / "dialogs.jsonl"))


def test_turns_are_plain_values_that_equal_one_another():
    assert parse(dialog(turns=TURNS).line()).turns == TURNS
    assert len({dialog(), dialog(), dialog(game_id=8)}) == 2
