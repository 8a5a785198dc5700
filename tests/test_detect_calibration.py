"""The arithmetic from margins to a verdict."""

from __future__ import annotations

import math

import pytest

from robo_dialog.detect import Outcome
from robo_dialog.detect.calibration import Calibration, sigmoid
from robo_dialog.errors import ModelError


def test_by_default_the_model_is_trusted_as_it_is():
    calibration = Calibration()
    assert calibration.probability(0.0, 1) == 0.5
    assert calibration.probability(math.log(3), 16) == pytest.approx(0.75)
    assert calibration.threshold_for("anything") == 0.5


def test_fusion_is_the_weighted_mean_of_margins():
    calibration = Calibration(camera_weights={"wrist": 3.0})
    assert calibration.fuse([2.0, -2.0], ["wrist", "front"]) == pytest.approx((3 * 2 - 2) / 4)
    assert calibration.fuse([2.0, -1.0, 5.0], ["", "", ""]) == pytest.approx(2.0)


def test_temperature_divides_before_the_bias_is_added():
    calibration = Calibration(temperatures={1: 2.0}, bias=-1.0)
    assert calibration.probability(4.0, 1) == pytest.approx(sigmoid(4 / 2 - 1))


@pytest.mark.parametrize(("frames", "temperature"), [(1, 3.0), (2, 2.0), (3, 2.0), (4, 2.0), (5, 1.0), (16, 1.0)])
def test_a_number_of_frames_without_a_temperature_uses_the_next_lower_one(frames, temperature):
    assert Calibration(temperatures={1: 3.0, 2: 2.0, 5: 1.0}).temperature(frames) == temperature


def test_a_task_has_its_own_threshold_however_it_is_punctuated():
    calibration = Calibration(threshold=0.5, task_thresholds={"lift the cube": 0.8})
    assert calibration.threshold_for("  lift  the cube. ") == 0.8
    assert calibration.threshold_for("lift the ball") == 0.5


@pytest.mark.parametrize(
    ("probability", "outcome"),
    [
        (0.0, Outcome.FAILURE),
        (0.499, Outcome.FAILURE),
        (0.5, Outcome.UNCERTAIN),
        (0.6, Outcome.UNCERTAIN),
        (0.799, Outcome.UNCERTAIN),
        (0.8, Outcome.SUCCESS),
        (1.0, Outcome.SUCCESS),
    ],
)
def test_the_band_lies_around_the_threshold(probability, outcome):
    assert Calibration(abstention_band=(-0.1, 0.2)).outcome(probability, 0.6) == outcome


def test_without_a_band_nothing_is_uncertain():
    assert Calibration().outcome(0.5, 0.5) == Outcome.SUCCESS
    assert Calibration().outcome(0.4999999, 0.5) == Outcome.FAILURE


@pytest.mark.parametrize("margin", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_becomes_a_probability(margin):
    with pytest.raises(ModelError):
        Calibration().probability(margin, 1)


def test_no_margin_is_too_large():
    assert Calibration().probability(1e30, 1) == 1.0
    assert Calibration().probability(-1e30, 1) == 0.0
