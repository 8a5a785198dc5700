"""Numbers of a run, against counting by hand, and the warnings about self-play that has gone wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from play_builders import CUBE, TURNS, aborted, dialog, turn, view
from robo_dialog.play.summary import summarise

VARIED = tuple(turn(f"Is the {thing} on the plate?", number % 2 == 0) for number, thing in enumerate("abcdefgh"))


def kept(**changes):
    return dialog(**changes).judged(())


def lost(*reasons, **changes):
    return dialog(outcome="lost", guesses=(0,) * 4, **changes).judged(("lost", *reasons))


def good_run(games=40):
    """Half are won, a quarter would be without answers, no question is put often."""
    return [
        replace((kept if number % 2 else lost)(), turns=(VARIED[number % 8],), blank_guess=number // 2 % 4)
        for number in range(games)
    ]


def warnings(dialogs):
    return [text.split(":")[0] for text in summarise(dialogs, {"e1"}).warnings]


def test_counts_are_those_of_the_dialogs():
    dialogs = [kept(), kept(describer=view("e2", "side")), lost("degenerate"), aborted().judged(("aborted",))]
    dialogs += [dialog(guesses=(1, 0, 0, 0), blank_guess=1).judged(("position_biased", "lucky"))]
    dialogs += [dialog().judged(("inconsistent",))]
    found = summarise(dialogs, ["e1", "e2", "e3", "e4"])
    assert (found.games, found.won, found.aborted, found.kept) == (6, 4, 1, 2)
    assert found.rejected == {"aborted": 1, "lost": 1, "position_biased": 1, "inconsistent": 1}
    assert list(found.rejected) == ["aborted", "lost", "position_biased", "inconsistent"]
    assert found.kept + sum(found.rejected.values()) == found.games
    assert found.lucky_share == pytest.approx(1 / 5)
    assert found.expected_lucky_share == pytest.approx(1 / 4)
    assert found.coverage == pytest.approx(2 / 4)


def test_luck_is_expected_by_the_number_of_candidates():
    two = dialog(candidates=dialog().candidates[:2], guesses=(1, 1))
    assert summarise([two, dialog(), aborted()], ()).expected_lucky_share == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_targets_outside_the_pool_cover_nothing():
    assert summarise([kept()], {"e2"}).coverage == 0
    assert summarise([kept()], ()).coverage is None


@pytest.mark.parametrize(("yes", "bits"), [(0, 0.0), (1, 0.8113), (2, 1.0), (4, 0.0)])
def test_the_entropy_of_answers_is_that_of_an_urn(yes, bits):
    turns = tuple(turn(f"{number}?", number < yes) for number in range(4))
    found = summarise([dialog(turns=turns)], ()).as_json()["answer_entropy"]
    assert found == bits
    assert str(found) == str(bits)  # and not -0.0


def test_diversity_counts_words_pairs_and_the_most_frequent_question():
    turns = (turn("Is it on?"), turn("is it ON"), turn("Is it open?"))
    found = summarise([dialog(turns=turns)], ())
    assert found.distinct_1 == pytest.approx(4 / 9)
    assert found.distinct_2 == pytest.approx(3 / 6)
    assert (found.top_question, found.top_question_share) == ("is it on?", pytest.approx(2 / 3))


def test_without_games_nothing_is_claimed():
    found = summarise([], ())
    assert (found.games, found.won, found.kept, found.rejected, found.warnings) == (0, 0, 0, {}, ())
    shares = [value for name, value in found.as_json().items() if "share" in name or "distinct" in name]
    assert shares == [None] * len(shares)
    assert found.answer_entropy is None


def test_games_that_all_broke_off_are_summarised():
    found = summarise([aborted().judged(("aborted",))] * 3, {"e1"})
    assert (found.aborted, found.lucky_share, found.answer_entropy) == (3, None, None)
    assert found.coverage == 0


def test_a_summary_is_plain_json():
    found = summarise(good_run(), {"e1"}).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {"games", "won", "aborted", "kept", "rejected", "lucky_share", "expected_lucky_share"} <= set(found)


def test_a_good_run_gives_no_warning():
    assert warnings(good_run()) == []


def test_talk_about_pixels_gives_a_warning():
    talk = [kept(turns=(turn("Is the image bright?"),))] * 4
    assert warnings([*good_run(), *talk]) == ["pixel talk"]
    assert warnings([*good_run(80), *talk[:2]]) == []


def test_words_of_any_instruction_and_tests_of_instructions_are_no_pixel_talk():
    sided = "put the red cube on the left edge"
    talk = [kept(turns=(turn("Is the cube on the left edge?"),))] * 4
    foreign = [kept(turns=(turn(f"{number} left?", source="hindsight"),)) for number in range(4)]
    assert warnings([*good_run(), *talk, kept(instruction=sided)]) == []
    assert warnings([*good_run(), *foreign]) == []
    assert warnings([*good_run(), *talk, kept(instruction=CUBE)]) == ["pixel talk"]


def test_repetition_gives_a_warning():
    assert warnings([*good_run(), *[kept(turns=TURNS[:1])] * 12]) == []
    assert warnings([*good_run(), *[kept(turns=TURNS[:1])] * 16]) == ["repetition"]


def test_winning_although_all_answers_are_alike_gives_a_warning():
    silent = [replace(one, turns=(turn(f"{number % 8}?", answer=False),)) for number, one in enumerate(good_run())]
    assert warnings(silent) == ["won without information"]
    by_chance = [one if one.outcome == "lost" or number % 4 == 1 else lost() for number, one in enumerate(silent)]
    by_chance = [replace(one, turns=silent[number].turns) for number, one in enumerate(by_chance)]
    assert warnings(by_chance) == []


def test_targets_that_are_found_without_answers_give_a_warning():
    leaking = [replace(one, blank_guess=1 if number % 2 else 0) for number, one in enumerate(good_run())]
    assert warnings(leaking) == ["targets leak"]
    by_chance = [replace(one, blank_guess=1 if number % 3 == 0 else 0) for number, one in enumerate(good_run())]
    assert warnings(by_chance) == []


def test_a_run_that_kept_nothing_gives_a_warning():
    assert warnings([lost(turns=(VARIED[number % 8],)) for number in range(8)]) == ["no game was kept"]
