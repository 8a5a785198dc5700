"""Metrics against hand-computed and known values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_dialog.tune.metrics import (
    auroc,
    balanced_accuracy,
    bootstrap_interval,
    expected_calibration_error,
    mcnemar,
    near_miss_false_positive_rate,
    recalls,
)


def flags(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text], dtype=bool)


def test_recalls_count_each_class_by_itself():
    both = recalls(flags("11110000"), flags("11100001"))
    assert (both.success, both.failure) == (0.75, 0.75)
    uneven = recalls(flags("1000"), flags("1100"))
    assert uneven.success == 1.0
    assert uneven.failure == pytest.approx(2 / 3)


@pytest.mark.parametrize("answer", [True, False])
def test_constant_answers_have_balanced_accuracy_one_half_whatever_the_class_mix(answer):
    labels = flags("1" * 97 + "000")
    assert balanced_accuracy(labels, np.full(100, answer)) == 0.5


def test_an_absent_class_makes_balanced_accuracy_nan_and_leaves_the_other_recall():
    both = recalls(flags("111"), flags("110"))
    assert both.success == pytest.approx(2 / 3)
    assert math.isnan(both.failure)
    assert math.isnan(balanced_accuracy(flags("111"), flags("110")))


def test_auroc_of_the_textbook_example():
    # scikit-learn documents roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75.
    assert auroc(flags("0011"), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75


def test_auroc_counts_ties_as_half():
    assert auroc(flags("01"), np.array([0.3, 0.3])) == 0.5
    assert auroc(flags("0011"), np.array([0.1, 0.5, 0.5, 0.9])) == 0.875


def test_auroc_of_one_class_is_nan():
    assert math.isnan(auroc(flags("11"), np.array([0.1, 0.2])))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_auroc_equals_the_share_of_ordered_pairs(rows):
    labels = np.array([label for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    pairs = [(s > f) + (s == f) / 2 for s in scores[labels] for f in scores[~labels]]
    if pairs:
        assert auroc(labels, scores) == pytest.approx(np.mean(pairs))


def test_calibration_error_by_hand():
    # Bin [0.2, 0.3): stated 0.2, seen 0.5, two rows; bin [0.9, 1]: stated 0.95, seen 1, two rows.
    labels, stated = flags("1011"), np.array([0.2, 0.2, 0.9, 1.0])
    assert expected_calibration_error(labels, stated) == pytest.approx(0.5 * 0.3 + 0.5 * 0.05)


def test_certain_and_right_is_perfectly_calibrated_certain_and_wrong_is_the_worst():
    assert expected_calibration_error(flags("10"), np.array([1.0, 0.0])) == 0.0
    assert expected_calibration_error(flags("10"), np.array([0.0, 1.0])) == 1.0


def test_calibration_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        expected_calibration_error(flags("1"), np.array([1.5]))


def test_near_misses_are_failures_only():
    labels, predictions, near = flags("100001"), flags("110100"), flags("111000")
    assert near_miss_false_positive_rate(labels, predictions, near) == 0.5
    assert math.isnan(near_miss_false_positive_rate(labels, predictions, flags("000000")))


def test_mcnemar_counts_only_episodes_on_which_the_two_disagree():
    labels = flags("1" * 12)
    first, second = flags("1" * 11 + "0"), flags("11" + "0" * 9 + "1")
    result = mcnemar(labels, first, second)
    assert (result.first_only, result.second_only) == (9, 1)
    assert result.p_value == pytest.approx(2 * (1 + 10) / 2**10)


def test_mcnemar_of_equal_detectors_is_one():
    assert mcnemar(flags("10"), flags("11"), flags("11")).p_value == 1.0


def test_bootstrap_keeps_the_rows_of_an_episode_together():
    # One episode of each kind, each with many rows: a draw has both, or one kind alone.
    labels, episodes = flags("1" * 50 + "0" * 50), ["a"] * 50 + ["b"] * 50
    seen = set()
    bootstrap_interval(lambda rows: seen.add(float(labels[rows].mean())) or 0.0, episodes, draws=100)
    assert seen == {0.0, 0.5, 1.0}


def test_bootstrap_interval_of_a_share_is_close_to_the_normal_one():
    hits = np.arange(400) % 4 != 0
    low, high = bootstrap_interval(lambda rows: float(hits[rows].mean()), [str(k) for k in range(400)])
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - half, abs=0.01)
    assert high == pytest.approx(0.75 + half, abs=0.01)


def test_bootstrap_is_a_function_of_its_seed_and_leaves_undetermined_draws_out():
    labels, predictions = flags("1100"), flags("1100")

    def figure(rows: np.ndarray) -> float:
        return balanced_accuracy(labels[rows], predictions[rows])

    assert bootstrap_interval(figure, list("abcd"), seed=3) == bootstrap_interval(figure, list("abcd"), seed=3)
    assert bootstrap_interval(figure, list("abcd")) == (1.0, 1.0)
    assert all(math.isnan(end) for end in bootstrap_interval(figure, []))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="one value per label"):
        balanced_accuracy(flags("10"), flags("1"))
