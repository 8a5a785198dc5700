"""The game as a state machine: no step out of turn, one outcome, and every candidate once at every place."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_dialog.errors import ConfigError
from robo_dialog.play.rules import Game, Rules, Turn, rotations

STEPS = {
    "asking": lambda game: game.asked("Is it done?"),
    "answering": lambda game: game.answered(0.7),
    "guessing": lambda game: game.guessed((0,) * game.rules.candidates, 0),
}
sizes = st.builds(Rules, candidates=st.integers(2, 8), turns=st.integers(1, 8))


def advanced(game, steps):
    for _ in range(steps):
        game = STEPS[game.phase](game)
    return game


@given(sizes, st.data())
def test_a_game_takes_its_turns_and_then_one_guess(rules, data):
    target = data.draw(st.integers(0, rules.candidates - 1))
    answers = data.draw(st.lists(st.floats(0, 1), min_size=rules.turns, max_size=rules.turns))
    game = Game(rules, target)
    for number, p_yes in enumerate(answers):
        game = game.asked(f"{number}?").answered(p_yes)
    assert game.turns == tuple(Turn(f"{number}?", p_yes) for number, p_yes in enumerate(answers))
    guesses = data.draw(st.tuples(*[st.integers(0, rules.candidates - 1)] * rules.candidates))
    over = game.guessed(guesses, 0)
    assert over.outcome == ("won" if guesses[0] == target else "lost")


@given(sizes, st.integers(0, 16), st.sampled_from([*STEPS, "outcome"]))
def test_a_step_out_of_turn_is_refused(rules, steps, step):
    game = advanced(Game(rules, 0), min(steps, 2 * rules.turns))
    if step == "outcome":
        with pytest.raises(ValueError, match="phase"):
            _ = game.outcome
    elif step != game.phase:
        with pytest.raises(ValueError, match=game.phase):
            STEPS[step](game)


@pytest.mark.parametrize("steps", range(5))
def test_a_game_can_be_aborted_at_any_moment_before_its_end(steps):
    game = advanced(Game(Rules(turns=2), 3), steps)
    ended = game.aborted("HTTP 500")
    assert (ended.outcome, ended.abort_reason, ended.question) == ("aborted", "HTTP 500", None)
    assert ended.turns == game.turns
    for step in STEPS.values():
        with pytest.raises(ValueError, match="over"):
            step(ended)


def test_a_game_that_is_over_cannot_be_aborted():
    with pytest.raises(ValueError, match="over"):
        advanced(Game(Rules(), 0), 7).aborted("too late")


def test_a_step_leaves_the_game_before_it_as_it_was():
    before = Game(Rules(), 0)
    before.asked("Is it done?").answered(0.2)
    assert before == Game(Rules(), 0)


@pytest.mark.parametrize(("p_yes", "answer"), [(0.0, False), (0.4999, False), (0.5, True), (1.0, True)])
def test_the_answer_is_yes_from_one_half_on(p_yes, answer):
    assert Turn("Is it done?", p_yes).answer is answer


@pytest.mark.parametrize("p_yes", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_answer_that_is_no_probability_is_refused(p_yes):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Game(Rules(), 0).asked("Is it done?").answered(p_yes)


@pytest.mark.parametrize(("guesses", "blank"), [((0, 1, 2), 0), ((0,) * 5, 0), ((0, 0, 0, 4), 0), ((0,) * 4, -1)])
def test_guesses_that_name_no_candidate_are_refused(guesses, blank):
    with pytest.raises(ValueError, match="guesses"):
        advanced(Game(Rules(), 0), 6).guessed(guesses, blank)


@pytest.mark.parametrize("target", [-1, 2])
def test_a_target_outside_the_candidates_is_refused(target):
    with pytest.raises(ValueError, match="target"):
        Game(Rules(candidates=2), target)


@pytest.mark.parametrize("size", [{"candidates": 1}, {"candidates": 9}, {"turns": 0}, {"turns": 9}])
def test_sizes_outside_the_limits_are_refused_by_name(size):
    (name, value), *_ = size.items()
    with pytest.raises(ConfigError, match=f"{name} is {value}; choose"):
        Rules(**size)


@given(st.integers(2, 8))
def test_rotations_put_every_candidate_once_at_every_place_and_keep_the_circle(count):
    orders = rotations(count)
    assert rotations(3) == ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    assert orders[0] == tuple(range(count))
    for group in (*orders, *zip(*orders, strict=True)):
        assert sorted(group) == list(range(count))
    for order in orders:
        assert {(later - earlier) % count for earlier, later in itertools.pairwise(order)} == {1}
