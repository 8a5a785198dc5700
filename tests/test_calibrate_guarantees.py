"""What a calibration promises, checked on thousands of draws from known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robo_dialog.detect.calibration import Calibration
from robo_dialog.tune.calibrate import LabelledEpisode
from robo_dialog.tune.conformal import conformal_band, conformal_cuts, fewest
from robo_dialog.tune.labelled import _with_precision
from robo_dialog.tune.precision import fewest_successes, precision_threshold

DRAWS = 600


def drawn(random: np.random.Generator, count: int, gap: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Labels and overconfident probabilities of a mediocre model."""
    labels = random.random(count) < 0.6
    return labels, 1 / (1 + np.exp(-3 * random.normal(np.where(labels, gap, -gap), 1.5)))


def outcomes(probabilities: np.ndarray, threshold: float, band: tuple[float, float]) -> np.ndarray:
    """As serving judges them."""
    calibration = Calibration(threshold=threshold, abstention_band=band)
    return np.array([str(calibration.outcome(float(p), threshold)) for p in probabilities])


@pytest.mark.parametrize(("alpha", "count"), [(0.05, 60), (0.1, 200), (0.2, 25)])
def test_each_class_is_mistaken_for_the_other_no_more_often_than_promised(alpha, count):
    random = np.random.default_rng(0)
    wrong: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(DRAWS):
        labels, probabilities = drawn(random, count)
        band = conformal_band(labels, probabilities - 0.4, alpha)
        new_labels, new = drawn(random, 100)
        said = outcomes(new, 0.4, band)
        wrong[True].append(np.mean(said[new_labels] == "FAILURE"))
        wrong[False].append(np.mean(said[~new_labels] == "SUCCESS"))
    for rates in wrong.values():
        assert np.mean(rates) <= alpha + 3 * np.std(rates) / math.sqrt(DRAWS)


def test_the_promise_is_not_kept_by_never_saying_anything():
    labels, probabilities = drawn(np.random.default_rng(1), 400, gap=3.0)
    said = outcomes(probabilities, 0.5, conformal_band(labels, probabilities - 0.5, 0.05))
    assert np.mean(said != "UNCERTAIN") > 0.9


def test_without_a_band_the_same_model_breaks_the_promise():
    random = np.random.default_rng(2)
    labels, probabilities = drawn(random, 5000)
    said = outcomes(probabilities, 0.4, (0.0, 0.0))
    assert np.mean(said[~labels] == "SUCCESS") > 0.1


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_too_few_episodes_of_a_class_silence_the_verdict_against_it(alpha):
    count = fewest(alpha)
    random = np.random.default_rng(3)
    for successes, spoken in ((count - 1, False), (count, True)):
        labels = np.array([True] * successes + [False] * 200)
        cuts = conformal_cuts(labels, random.normal(labels, 1), alpha)
        assert math.isfinite(cuts.failure_below) is spoken
        assert math.isfinite(cuts.success_above)
    assert math.floor(alpha * (count + 1) + 1e-9) == 1


def test_a_silenced_verdict_is_never_given():
    labels = np.array([True] * 3 + [False] * 100)
    probabilities = np.linspace(0, 1, 103)[::-1].copy()
    low, _ = conformal_band(labels, probabilities - 0.5, 0.05)
    assert low == -1.0
    assert "FAILURE" not in outcomes(np.linspace(0, 1, 50), 0.5, (low, 0.0))


def test_separated_classes_need_no_band():
    labels = np.arange(100) >= 50
    assert conformal_band(labels, np.where(labels, 0.4, -0.4), 0.05) == (0.0, 0.0)


@pytest.mark.parametrize(("precision", "count", "gap"), [(0.95, 300, 1.5), (0.9, 200, 1.2), (0.8, 100, 1.0)])
def test_the_precision_is_missed_no_more_often_than_one_time_in_ten(precision, count, gap):
    random = np.random.default_rng(4)
    truth, everything = drawn(random, 200_000, gap)
    order = np.argsort(-everything)
    ordered, right = -everything[order], np.cumsum(truth[order])
    found = missed = 0
    for _ in range(DRAWS):
        labels, probabilities = drawn(random, count, gap)
        threshold = precision_threshold(labels, probabilities, precision)
        if threshold is not None:
            called = int(np.searchsorted(ordered, -threshold, side="right"))
            found += 1
            missed += right[called - 1] / called < precision
    assert found > DRAWS / 4
    assert missed / found <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / found)


def test_the_threshold_is_as_low_as_can_be_proved():
    labels = np.array([True] * 200 + [False] * 200)
    probabilities = np.linspace(1, 0, 400)
    threshold = precision_threshold(labels, probabilities, 0.95)
    assert threshold is not None
    assert labels[probabilities >= threshold].mean() > 0.95
    assert (probabilities >= threshold).sum() > 190


def test_what_cannot_be_proved_is_not_claimed():
    count = fewest_successes(0.95)
    assert (count, fewest_successes(0.8, 0.95)) == (45, 14)
    for successes, proved in ((count - 1, False), (count, True)):
        labels = np.ones(successes, np.bool_)
        assert (precision_threshold(labels, np.linspace(0.6, 0.9, successes), 0.95) is not None) is proved
    assert precision_threshold(np.arange(500) % 2 == 0, np.linspace(0, 1, 500), 0.95) is None


def test_equal_probabilities_are_never_parted():
    labels = np.array([True] * 60 + [False] * 60)
    assert precision_threshold(labels, np.full(120, 0.7), 0.9) is None
    assert precision_threshold(labels, np.where(labels, 0.7, 0.2), 0.9) == pytest.approx(0.45)


def attempts(instruction: str, margin: float, successes: int, failures: int) -> list[LabelledEpisode]:
    return [LabelledEpisode((margin,), k < successes, instruction) for k in range(successes + failures)]


CLEAN = [*attempts("lift the red cube", 4.0, 300, 0), *attempts("lift the red cube", -3.0, 0, 100)]


def test_nobody_has_a_threshold_of_his_own_where_the_rest_proves_none():
    """The rest has only been proved together with those that would leave it."""
    found = _with_precision(Calibration(), [*CLEAN, *attempts("open the drawer", 5.0, 5, 5)], 0.9, "pool")
    assert found.task_thresholds == {}
    assert found.threshold == pytest.approx(0.515, abs=0.001)


def test_the_rest_is_proved_without_those_that_have_their_own():
    rest = [
        *attempts("open the drawer", 5.0, 15, 0),
        *attempts("push the ball", 5.0, 15, 0),
        *attempts("push the ball", 1.0, 1, 9),
    ]
    found = _with_precision(Calibration(), [*CLEAN, *rest], 0.9, "pool")
    assert set(found.task_thresholds) == {"lift the red cube"}
    assert found.threshold == pytest.approx((1 / (1 + math.exp(-5)) + 1 / (1 + math.exp(-1))) / 2, abs=1e-6)


def test_a_family_of_a_single_instruction_so_far_serves_those_to_come():
    seen = [attempts(f"pick up the {colour} cube", 3.0, 5, 0) for colour in ("red", "blue")]
    clean = [*attempts("push the red mug", 3.0, 60, 0), *attempts("push the red mug", -3.0, 0, 20)]
    found = _with_precision(Calibration(), [*seen[0], *seen[1], *clean, *attempts("open it", 3.0, 20, 0)], 0.9, "pool")
    assert set(found.task_thresholds) == {"push the _ mug"}
    assert found.threshold_for("push the blue mug") == found.threshold_for("push the red mug") != found.threshold
