"""Calibrations fitted to episodes whose true calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from robo_dialog.detect.calibration import Calibration, parse_calibration
from robo_dialog.tune.calibrate import (
    LabelledEpisode,
    abstention_band,
    best_threshold,
    episode_probabilities,
    fit_calibration,
    fit_temperatures,
    log_loss,
)
from robo_dialog.tune.metrics import expected_calibration_error


def drawn(count: int, frames: int, *, temperature: float, bias: float, seed: int = 0) -> list[LabelledEpisode]:
    """Episodes whose labels follow sigmoid(mean margin / temperature + bias)."""
    random = np.random.default_rng(seed)
    margins = random.normal(0, 4, (count, 1)) + random.normal(0, 0.1, (count, frames))
    chances = 1 / (1 + np.exp(-(margins.mean(1) / temperature + bias)))
    labels = random.random(count) < chances
    return [
        LabelledEpisode(tuple(row), bool(label), "lift it") for row, label in zip(margins.tolist(), labels, strict=True)
    ]


def labels_of(episodes: list[LabelledEpisode]) -> np.ndarray:
    return np.array([one.success for one in episodes])


def test_temperature_and_bias_are_found_again():
    temperatures, bias = fit_temperatures(drawn(4000, 1, temperature=2.5, bias=0.7), Calibration())
    assert temperatures == {1: pytest.approx(2.5, rel=0.1)}
    assert bias == pytest.approx(0.7, abs=0.15)


def test_each_number_of_frames_gets_the_temperature_that_its_fused_margins_need():
    random = np.random.default_rng(1)
    truth = random.random(3000) < 0.5
    margins = np.where(truth, 1.0, -1.0)[:, None] + random.normal(0, 2, (3000, 3))
    episodes = [LabelledEpisode(tuple(row), bool(label)) for row, label in zip(margins.tolist(), truth, strict=True)]
    temperatures, bias = fit_temperatures(episodes, Calibration())
    # log odds of a mean of n normal margins N(±1, 2²/n) are 2·n·mean/2²
    assert temperatures == {n: pytest.approx(2 / n, rel=0.15) for n in (1, 2, 3)}
    assert bias == pytest.approx(0, abs=0.1)


def test_the_fit_is_the_minimum_of_the_log_loss():
    episodes = drawn(500, 1, temperature=0.6, bias=-0.4)
    temperatures, bias = fit_temperatures(episodes, Calibration())

    def loss(temperature: float, offset: float) -> float:
        calibration = Calibration(temperatures={1: temperature}, bias=offset)
        return log_loss(labels_of(episodes), episode_probabilities(episodes, calibration))

    best = loss(temperatures[1], bias)
    for change in (0.9, 1.1):
        assert loss(temperatures[1] * change, bias) > best
        assert loss(temperatures[1], bias + change - 1) > best


def test_a_number_of_frames_that_few_episodes_have_gets_no_temperature():
    episodes = drawn(100, 1, temperature=1, bias=0) + drawn(19, 4, temperature=1, bias=0, seed=1)
    assert set(fit_temperatures(episodes, Calibration())[0]) == {1}


@pytest.mark.parametrize("sign", [1, -1])
def test_separable_and_inverted_margins_give_finite_calibrations(sign):
    episodes = [LabelledEpisode((sign * (k - 49.5),), k > 49) for k in range(100)]
    calibration = fit_calibration(episodes)
    assert parse_calibration(calibration.encode()) == calibration
    assert np.isfinite(episode_probabilities(episodes, calibration)).all()


def test_weights_of_cameras_are_part_of_the_fusion_that_is_fitted():
    random = np.random.default_rng(2)
    truth = random.random(400) < 0.5
    good = np.where(truth, 1.0, -1.0) + random.normal(0, 1, 400)
    noise = random.normal(0, 10, 400)
    episodes = [
        LabelledEpisode((a, b), bool(label), cameras=("good", "blind"))
        for a, b, label in zip(good.tolist(), noise.tolist(), truth, strict=True)
    ]
    losses = []
    for weights in ({}, {"good": 100.0}):
        calibration = fit_calibration(episodes, Calibration(camera_weights=weights))
        losses.append(log_loss(truth, episode_probabilities(episodes, calibration)))
    assert losses[1] < losses[0] - 0.1


def test_the_best_threshold_maximises_balanced_accuracy():
    labels = np.array([False] * 8 + [True] * 2)
    probabilities = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.35, 0.45, 0.4, 0.9])
    assert best_threshold(labels, probabilities) == pytest.approx((0.35 + 0.4) / 2)


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_taken():
    labels = np.array([False, False, True, True])
    assert best_threshold(labels, np.array([0.1, 0.2, 0.8, 0.9])) == pytest.approx(0.5)
    assert best_threshold(labels, np.array([0.3, 0.3, 0.3, 0.3])) == 0.5


def outside(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, band: tuple[float, float]
) -> tuple[int, int]:
    """Episodes and errors outside the band, judged as serving does."""
    calibration = Calibration(threshold=threshold, abstention_band=band)
    outcomes = [str(calibration.outcome(value, threshold)) for value in probabilities]
    decided = [(o, label) for o, label in zip(outcomes, labels, strict=True) if o != "UNCERTAIN"]
    return len(decided), sum((outcome == "SUCCESS") != label for outcome, label in decided)


@pytest.mark.parametrize("target", [0.0, 0.02, 0.05, 0.2])
def test_the_band_keeps_its_promise_as_serving_applies_it(target):
    episodes = drawn(400, 1, temperature=2, bias=0)
    labels = labels_of(episodes)
    probabilities = episode_probabilities(episodes, Calibration(temperatures={1: 2.0}))
    decided, errors = outside(labels, probabilities, 0.5, abstention_band(labels, probabilities, 0.5, target))
    assert errors <= target * decided


def test_no_smaller_band_would_do():
    episodes = drawn(60, 1, temperature=2, bias=0, seed=3)
    labels = labels_of(episodes)
    probabilities = episode_probabilities(episodes, Calibration())
    decided, _ = outside(labels, probabilities, 0.5, abstention_band(labels, probabilities, 0.5, 0.05))
    edges = [0.0, *sorted(probabilities), 1.0]
    for low in (edge - 0.5 for edge in edges if edge <= 0.5):
        for high in (edge - 0.5 for edge in edges if edge >= 0.5):
            count, errors = outside(labels, probabilities, 0.5, (low, high))
            assert count <= decided or errors > 0.05 * count


def test_nothing_is_uncertain_where_nothing_goes_wrong():
    labels = np.array([False, False, True, True])
    assert abstention_band(labels, np.array([0.1, 0.2, 0.8, 0.9]), 0.5, 0.0) == (0, 0)


def test_everything_is_uncertain_where_nothing_can_be_told():
    labels = np.array([True, True, False, False])
    band = abstention_band(labels, np.array([0.1, 0.2, 0.8, 0.9]), 0.5, 0.05)
    assert outside(labels, np.array([0.1, 0.2, 0.8, 0.9]), 0.5, band) == (0, 0)


def test_equal_probabilities_are_all_inside_the_band_or_all_outside():
    labels = np.array([True] * 5 + [False] * 5 + [True] * 90)
    probabilities = np.array([0.6] * 10 + [0.9] * 90)
    band = abstention_band(labels, probabilities, 0.5, 0.01)
    assert outside(labels, probabilities, 0.5, band) == (90, 0)


def test_a_fitted_calibration_is_better_calibrated_than_none_on_other_episodes():
    held_out = drawn(2000, 2, temperature=4, bias=1, seed=9)
    fitted = fit_calibration(drawn(1000, 2, temperature=4, bias=1, seed=8))
    before, after = (
        expected_calibration_error(labels_of(held_out), episode_probabilities(held_out, calibration))
        for calibration in (Calibration(), fitted)
    )
    assert before > 0.15
    assert after < 0.05
    assert "1000 labelled episodes" in fitted.method


def test_only_instructions_with_enough_of_both_classes_get_their_own_threshold():
    random = np.random.default_rng(5)
    episodes = []
    for instruction, offset, count in (("lift it.", 3.0, 100), ("push it", -3.0, 100), ("drop it", 0.0, 12)):
        for _ in range(count):
            label = bool(random.random() < 0.5)
            margin = offset + (2.0 if label else -2.0) + random.normal(0, 0.3)
            episodes.append(LabelledEpisode((float(margin),), label, instruction))
    calibration = fit_calibration(episodes)
    assert set(calibration.task_thresholds) == {"lift it", "push it"}
    assert calibration.threshold_for("push it") < calibration.threshold < calibration.threshold_for("lift it")
    wrong = 0
    for one, value in zip(episodes, episode_probabilities(episodes, calibration), strict=True):
        outcome = calibration.outcome(float(value), calibration.threshold_for(one.instruction))
        wrong += str(outcome) == ("FAILURE" if one.success else "SUCCESS")
    assert wrong <= 0.05 * len(episodes)


@pytest.mark.parametrize(
    "episodes",
    [[], [LabelledEpisode((1.0,), True)], [LabelledEpisode((), True), LabelledEpisode((1.0,), False)]],
    ids=["none", "one class", "no frames"],
)
def test_episodes_that_determine_nothing_are_refused(episodes):
    with pytest.raises(ValueError, match=r"one class only|1 to 16 margins"):
        fit_calibration(episodes)
