"""Deals: what meets in a game, through which cameras, and that nothing but the number of the game decides it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from play_builders import CUBE, moment, outcomes
from robo_dialog.errors import ConfigError
from robo_dialog.play.moments import Moment
from robo_dialog.play.sampling import Dealer, likeness
from robo_dialog.play.settings import Mix

PAIRINGS = ("same", "augmented", "cross_view", "all_views")
KINDS = {
    "same_task": Mix(),
    "same_episode": Mix(same_task=0, same_episode=1),
    "nearest": Mix(same_task=0, nearest=1),
    "random": Mix(same_task=0, random=1),
}
instructions = st.lists(st.sampled_from(["put", "the", "cube", "on", "plate"]), max_size=6).map(" ".join)


def embeddings(moments):
    """Unit vectors; episodes of neighbouring numbers are alike."""
    angles = {frame: int(m.episode_id[1:]) / 20 for m in moments for frame in m.frames.values()}
    return {frame: np.array([np.cos(angle), np.sin(angle)]) for frame, angle in angles.items()}


def dealer(moments, pairing="cross_view", mix=KINDS["same_task"], candidates=4, seed=0):
    return Dealer(moments, pairing, mix, candidates, seed, embeddings(moments))


def attempts(count=12, earlier=2):
    """Episodes with their outcome and earlier frames; every third is at another task."""
    tasks = [CUBE, CUBE, "open the drawer"]
    return [
        moment(f"e{i}", instruction=tasks[i % 3], from_end=step) for i in range(count) for step in range(earlier + 1)
    ]


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("candidates", [2, 4, 8])
def test_every_deal_is_a_playable_game(pairing, kind, candidates):
    one = dealer(attempts(), pairing, KINDS[kind], candidates)
    for number in range(30):
        deal = one.deal(number)
        assert deal.kind == kind
        assert len(deal.candidates) == candidates
        target = deal.candidates[deal.target]
        assert target.final
        for place, other in enumerate(deal.candidates):
            assert deal.guesser_camera in other.frames
            if place != deal.target:
                assert (other.episode_id, other.from_end) != (target.episode_id, 0)
                assert other.final or (kind == "same_episode" and other.episode_id == target.episode_id)
        assert len({(m.episode_id, m.from_end) for m in deal.candidates}) == candidates
        assert set(deal.describer_cameras) <= target.frames.keys()
        assert (deal.guesser_camera not in deal.describer_cameras) == (pairing in ("cross_view", "all_views"))
        assert len(deal.describer_cameras) == (len(target.frames) - 1 if pairing == "all_views" else 1)
        assert (deal.augmentation is not None) == (pairing == "augmented")


@settings(max_examples=30)
@given(st.integers(0, 2**33), st.integers(0, 2**32), st.permutations(range(5)))
def test_a_deal_depends_on_its_number_and_the_seed_alone(number, seed, before):
    fresh = dealer(attempts(), seed=seed).deal(number)
    used = dealer(attempts(), seed=seed)
    for other in before:
        used.deal(other)
    assert used.deal(number) == fresh


def test_another_seed_deals_other_games():
    first, second = (dealer(attempts(), seed=seed) for seed in (0, 1))
    assert [first.deal(i) for i in range(10)] != [second.deal(i) for i in range(10)]
    assert [first.deal(i).target for i in range(20)] != [second.deal(i).target for i in range(20)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_of_one_game_is_enough(kind):
    one = dealer(outcomes(4), mix=KINDS[kind])
    for number in range(12):
        assert {m.episode_id for m in one.deal(number).candidates} == {"e0", "e1", "e2", "e3"}


def test_a_target_meets_other_distractors_every_time():
    one = dealer(outcomes(12))
    deals = [one.deal(number) for number in range(12 * 12)]
    met = [m.episode_id for deal in deals if deal.candidates[deal.target].episode_id == "e0" for m in deal.candidates]
    assert set(met) == {f"e{i}" for i in range(12)}


def test_every_outcome_is_a_target_once_in_every_lap():
    one = dealer(attempts(12))
    laps = [[one.deal(lap * 12 + i) for i in range(12)] for lap in range(3)]
    orders = [[deal.candidates[deal.target].episode_id for deal in lap] for lap in laps]
    for order in orders:
        assert sorted(order) == sorted(f"e{i}" for i in range(12))
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_sits_at_every_place_about_equally_often(kind):
    one = dealer(attempts(), mix=KINDS[kind])
    seats = np.bincount([one.deal(number).target for number in range(800)], minlength=4)
    assert seats.min() > 200 - 3.5 * np.sqrt(800 * 3 / 16)


def test_each_camera_is_the_guessers_about_equally_often():
    one = dealer(attempts())
    share = np.mean([one.deal(number).guesser_camera == "front" for number in range(400)])
    assert 0.4 < share < 0.6


def test_seeds_of_augmentations_differ_from_game_to_game():
    one = dealer(attempts(), "augmented")
    deals = [one.deal(number) for number in range(50)]
    assert len({deal.augmentation for deal in deals} | {deal.check for deal in deals}) == 100


def test_distractors_of_the_same_task_come_first_and_then_the_most_similar():
    moments = [
        *outcomes(3, instruction=CUBE),
        moment("e3", instruction="put the red cube on the table"),
        *[moment(f"e{i}", instruction="open the drawer") for i in range(4, 12)],
    ]
    one = dealer(moments)
    for number in range(36):
        deal = one.deal(number)
        if deal.candidates[deal.target].instruction == CUBE:
            assert {m.episode_id for m in deal.candidates} == {"e0", "e1", "e2", "e3"}


def test_a_task_is_the_same_in_another_spelling():
    moments = [
        *outcomes(2, instruction=CUBE),
        *[moment(f"e{i}", instruction="Put the red cube on  the plate.") for i in (2, 3)],
        *[moment(f"e{i}", instruction="put the red cube on the table") for i in range(4, 12)],
    ]
    one = dealer(moments)
    for number in range(24):
        deal = one.deal(number)
        if deal.candidates[deal.target].instruction == CUBE:
            assert {m.episode_id for m in deal.candidates} == {"e0", "e1", "e2", "e3"}


def test_distractors_of_the_same_episode_come_first_and_others_fill_up():
    one = dealer(attempts(earlier=2), mix=KINDS["same_episode"])
    for number in range(12):
        deal = one.deal(number)
        mine = [m for m in deal.candidates if m.episode_id == deal.candidates[deal.target].episode_id]
        assert sorted(m.from_end for m in mine) == [0, 1, 2]


def test_the_nearest_distractors_are_those_that_look_most_alike():
    one = dealer(outcomes(12), "same", KINDS["nearest"], 3)
    for number in range(12):
        deal = one.deal(number)
        target = int(deal.candidates[deal.target].episode_id[1:])
        distances = sorted(abs(int(m.episode_id[1:]) - target) for m in deal.candidates)
        assert distances == ([0, 1, 2] if target in (0, 11) else [0, 1, 1])


def test_the_places_of_distractors_do_not_tell_how_alike_they_look():
    one = dealer(outcomes(12), "same", KINDS["nearest"], 4)
    nearest_first = 0
    for number in range(48):
        deal = one.deal(number)
        target = int(deal.candidates[deal.target].episode_id[1:])
        others = [abs(int(m.episode_id[1:]) - target) for m in deal.candidates if m is not deal.candidates[deal.target]]
        nearest_first += others[-1] == max(others)
    assert nearest_first < 32


def test_random_distractors_come_from_all_tasks():
    one = dealer(attempts(), mix=KINDS["random"])
    met = {m.episode_id for number in range(60) for m in one.deal(number).candidates}
    assert met == {f"e{i}" for i in range(12)}


def test_kinds_are_mixed_by_weight():
    one = dealer(attempts(), mix=Mix(same_task=3, random=1))
    kinds = [one.deal(number).kind for number in range(600)]
    assert set(kinds) == {"same_task", "random"}
    assert 0.68 < kinds.count("same_task") / 600 < 0.82


def resting(episode, from_end):
    """The robot has stopped: the picture is that of the outcome."""
    return Moment(episode, CUBE, from_end, {"front": f"{episode} front 0", "side": f"{episode} side 0"})


def test_a_picture_that_equals_the_targets_is_dealt_only_where_there_is_no_other():
    moments = [*outcomes(4), *[resting(f"e{i}", 1) for i in range(4)]]
    one = dealer(moments, "same", KINDS["same_episode"])
    for number in range(8):
        deal = one.deal(number)
        assert len({m.frames[deal.guesser_camera] for m in deal.candidates}) == 4
    twins = [Moment(f"e{i}", CUBE, 0, {"front": "the same"}) for i in range(3)]
    for number in range(6):
        deal = dealer(twins, "same", candidates=3).deal(number)
        assert {m.episode_id for m in deal.candidates} == {"e0", "e1", "e2"}


def test_only_outcomes_that_two_cameras_see_are_targets_of_cross_view_games():
    moments = [*outcomes(3), *[moment(f"e{i}", cameras=("front",)) for i in range(3, 9)]]
    one = dealer(moments)
    for number in range(20):
        deal = one.deal(number)
        assert deal.candidates[deal.target].episode_id in {"e0", "e1", "e2"}
        assert (deal.guesser_camera, deal.describer_cameras) == ("front", ("side",))  # too few are seen from the side


def test_cameras_with_too_few_outcomes_give_no_game():
    moments = [moment(f"e{i}", cameras=(("front",), ("side",))[i % 2]) for i in range(6)]
    with pytest.raises(ConfigError, match="no camera of the pool is in 4 episodes"):
        dealer(moments, "same")
    assert dealer(moments, "same", candidates=3).deal(0)


@pytest.mark.parametrize(
    ("moments", "changes", "message"),
    [
        (outcomes(3), {}, "the pool has 3 final moments .* a game needs 4"),
        ([moment(f"e{i}", from_end=1) for i in range(9)], {}, "the pool has 0 final moments"),
        (outcomes(9, cameras=("front",)), {}, "no final moment of the pool is seen by two cameras"),
    ],
)
def test_a_pool_that_cannot_be_played_says_what_to_do(moments, changes, message):
    with pytest.raises(ConfigError, match=f"{message}.*(ingest|choose)"):
        dealer(moments, **changes)


def test_nearest_distractors_without_embeddings_are_refused():
    with pytest.raises(ConfigError, match=r"mix\.nearest"):
        Dealer(outcomes(9), "same", Mix(nearest=0.1), 4, 0)


@pytest.mark.parametrize(
    "weights",
    [
        {"same_task": 0},
        {"random": -1},
        {"random": float("nan")},
        {"same_task": float("nan")},
        {"nearest": float("inf")},
    ],
)
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(ConfigError, match="mix: the weights"):
        Mix(**weights)


@given(instructions, instructions)
def test_likeness_is_symmetric_and_one_for_equal_instructions_alone(one, other):
    found = likeness(one, other)
    assert found == likeness(other, one)
    assert 0 <= found <= 1
    assert (found == 1) == (one == other)
    assert likeness(one, f"{one}.") == 1


def test_the_more_words_in_common_the_more_alike():
    others = ("put the red cube on the table", "put the ball on the table", "open a drawer")
    found = [likeness(CUBE, other) for other in others]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
