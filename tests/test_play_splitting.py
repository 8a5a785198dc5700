"""Two heaps of scores are found where they are, and one heap is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_dialog.play.splitting import FEWEST, SMALLEST_HEAP, Split, robust_split, split

COUNT, REPEATS = 120, 60
scores = st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=2, max_size=60)


def trusts(draw):
    """Trust in the splits of populations of the size that play uses."""
    rng = np.random.default_rng(0)
    return np.array([split(draw(rng)).trust for _ in range(REPEATS)])


def two_heaps(distance, share, spread=1.0):
    def draw(rng):
        upper = rng.random(COUNT) < share
        return np.where(upper, distance + spread * rng.normal(size=COUNT), rng.normal(size=COUNT))

    return draw


@given(
    st.integers(20, 100),
    st.floats(0.2, 0.8),
    st.floats(-20, 20),
    st.floats(10, 40),
    st.integers(0, 2**32 - 1),
)
def test_two_well_separated_heaps_are_split_in_the_gap(half, share, middle, distance, seed):
    rng = np.random.default_rng(seed)
    upper = max(1, round(2 * half * share))
    low = middle + rng.uniform(0, 1, 2 * half - upper)
    high = middle + distance + rng.uniform(0, 1, upper)
    found = split(rng.permutation([*low, *high]))
    assert low.max() < found.threshold < high.min()
    assert found.upper_share == pytest.approx(upper / (2 * half))
    assert found.trust == 1 or 2 * half < FEWEST
    assert found.offset == found.threshold * found.trust


@given(scores)
def test_the_split_is_the_best_of_all_and_its_share_of_the_variance_is_right(values):
    found = split(values)
    assert found.count == len(values)
    x = np.array(values)
    if np.ptp(x) == 0:
        assert (found.separation, found.trust) == (0, 0)
        return
    within = {}
    for cut in np.unique(x)[1:]:
        sides = x[x < cut], x[x >= cut]
        within[cut] = sum(len(side) * side.var() for side in sides)
    mine = x[x < found.threshold], x[x >= found.threshold]
    assert found.upper_share == pytest.approx(len(mine[1]) / len(x))
    left = sum(len(side) * side.var() for side in mine)
    assert left == pytest.approx(min(within.values()), rel=1e-6, abs=1e-6)
    assert found.separation == pytest.approx(1 - left / (len(x) * x.var()), abs=1e-6)


@given(scores, st.floats(-20, 20).map(lambda x: round(x, 3)))
def test_a_shift_of_all_scores_shifts_the_threshold_alone(values, shift):
    if np.ptp(values) < 0.01:
        return
    before, after = split(values), split(np.array(values) + shift)
    assert after.separation == pytest.approx(before.separation, abs=1e-6)
    assert after.trust == pytest.approx(before.trust, abs=1e-3)


ONE_HEAP = {
    "normal": lambda rng: rng.normal(size=COUNT),
    "student": lambda rng: rng.standard_t(3, size=COUNT),
    "gamma": lambda rng: rng.gamma(4, size=COUNT),
    "exponential": lambda rng: rng.exponential(size=COUNT),
    "few outliers": two_heaps(6, 0.04),
    "one value": lambda rng: np.full(COUNT, 1.3),
}


@pytest.mark.parametrize("name", ONE_HEAP)
def test_one_heap_is_hardly_trusted_to_be_two(name):
    found = trusts(ONE_HEAP[name])
    assert found.mean() < 0.12
    if name in ("normal", "student", "one value"):
        assert np.mean(found > 0) < 0.1


@pytest.mark.parametrize(("distance", "share"), [(4, 0.5), (4, 0.4), (6, 0.25), (6.5, 0.15)])
def test_two_heaps_with_a_valley_between_them_are_trusted(distance, share):
    assert trusts(two_heaps(distance, share)).mean() > 0.7


def test_the_more_two_heaps_overlap_the_less_they_are_trusted():
    found = [trusts(two_heaps(distance, 0.4)).mean() for distance in (1, 2, 3, 4, 5)]
    assert found == sorted(found)
    assert found[1] < 0.1


@pytest.mark.parametrize(
    ("count", "upper", "trusted"), [(FEWEST - 2, 0.5, 0), (FEWEST, 0.5, 1), (100, 0.05, 0), (100, 0.95, 0)]
)
def test_few_scores_or_a_tiny_heap_conclude_nothing(count, upper, trusted):
    many = round(count * upper)
    assert split([-3.0] * (count - many) + [5.0] * many).trust == trusted


def test_a_half_trusted_threshold_moves_half_way():
    half = Split(threshold=-4.0, separation=0.76, upper_share=0.5, count=100)
    assert half.trust == pytest.approx(0.5)
    assert half.offset == pytest.approx(-2.0)
    assert Split(-4.0, 0.99, SMALLEST_HEAP / 2, 100).offset == 0


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0]])
def test_scores_without_a_gap_are_not_split(values):
    assert split(values) == Split(0.0, 0.0, 0.0, len(values))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="finite"):
        split([0.0, wrong, 1.0])


def test_a_long_tail_does_not_draw_the_robust_split_into_a_heap():
    rng = np.random.default_rng(0)
    low = -rng.gamma(3.0, 1.0, 200)
    high = rng.normal(1.0, 0.5, 200)
    values = np.concatenate([low, high])

    def wrong(threshold):
        return (low > threshold).mean() + (high < threshold).mean()

    found = robust_split(values)
    assert wrong(found.threshold) < 0.05 < 0.1 < wrong(split(values).threshold)
    assert found.separation == split(values).separation


@given(scores)
def test_the_robust_split_is_the_plain_one_where_there_are_no_two_heaps(values):
    assert split(values).trust or robust_split(values) == split(values)


@given(st.floats(0.1, 10), st.floats(-20, 20))
def test_the_robust_split_follows_scale_and_shift(scale, shift):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(-2, 0.6, 90), rng.normal(2, 0.6, 110)])
    moved = robust_split(scale * values + shift).threshold
    assert moved == pytest.approx(scale * robust_split(values).threshold + shift, abs=1e-6 * (1 + scale + abs(shift)))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_robust_split_of_unequal_heaps_lies_between_them(share):
    rng = np.random.default_rng(2)
    upper = rng.random(400) < share
    values = np.where(upper, rng.normal(2, 0.6, 400), rng.normal(-2, 0.6, 400))
    assert ((values > robust_split(values).threshold) == upper).mean() > 0.98
