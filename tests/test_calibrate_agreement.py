"""Calibration without labels, on populations whose labels the test knows and the code does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robo_dialog.detect.calibration import Calibration, sigmoid
from robo_dialog.detect.tasks import Task
from robo_dialog.detect.verdict import Outcome
from robo_dialog.tune.agreement import Population, boundary, fit_by_agreement, probabilities, yes_share
from robo_dialog.tune.camera_weights import camera_weights, fused, weights_by_family
from robo_dialog.tune.confidence import doubt_band, temperature, temperatures_by_agreement
from robo_dialog.tune.heaps import find_heaps
from robo_dialog.tune.metrics import balanced_accuracy

CAMERAS = ("front", "side", "wrist")


def seen(
    labels: np.ndarray, *, gap: float = 3.0, spread: float = 1.0, shift: float = 0.0, cameras: int = 3, seed: int = 0
) -> np.ndarray:
    """Margins (E, C) of cameras that err independently."""
    random = np.random.default_rng(seed)
    centre = np.where(labels, gap, -gap)[:, None] + shift
    return random.normal(centre, spread, (len(labels), cameras))


def population(margins: np.ndarray, families: list[str] | None = None, **changed: np.ndarray) -> Population:
    cameras = CAMERAS[: margins.shape[1]]
    nothing = {"sights": np.zeros((0, *margins.shape))}
    return Population(cameras, tuple(families or ["lift the _"] * len(margins)), margins, **{**nothing, **changed})


def half(count: int = 200) -> np.ndarray:
    return np.random.default_rng(9).permutation(np.arange(count) % 2 == 0)


def called(fitted: Calibration, margins: np.ndarray, family: str = "lift the _") -> np.ndarray:
    own = fitted.of(family)
    cameras = CAMERAS[: margins.shape[1]]
    return np.array(
        [own.probability(own.fuse(row.tolist(), cameras), len(cameras)) >= own.threshold for row in margins]
    )


def test_a_shift_that_breaks_the_threshold_is_undone():
    labels = half()
    margins = seen(labels, shift=-4.0)
    before = called(Calibration(), margins)
    agreed = fit_by_agreement(population(margins), Calibration())
    assert balanced_accuracy(labels, before) < 0.7
    assert balanced_accuracy(labels, called(agreed.calibration, margins)) > 0.99
    assert agreed.calibration.of("lift the _").offset == pytest.approx(-4.0, abs=0.5)
    assert (agreed.yes_share_before, agreed.yes_share) == (np.mean(before), 0.5)


def test_every_family_has_its_own_shift():
    labels = half()
    margins = np.concatenate([seen(labels, shift=-4.0), seen(labels, shift=5.0, seed=1)])
    families = ["lift the _"] * 200 + ["open the drawer"] * 200
    tasks = fit_by_agreement(population(margins, families), Calibration()).calibration.tasks
    assert tasks["lift the _"].offset == pytest.approx(-4, abs=0.5)
    assert tasks["open the drawer"].offset == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("margins", "reason"),
    [
        (seen(np.ones(200, np.bool_), spread=2.0), "one heap"),
        (seen(half(60)), "only 60 episodes, 80 are needed"),
        (np.random.default_rng(0).permutation(seen(half(), cameras=1)[:, 0]).reshape(-1, 1).repeat(3, 1), ""),
    ],
)
def test_a_family_is_moved_only_on_good_ground(margins, reason):
    (family,) = fit_by_agreement(population(margins), Calibration()).families
    assert reason in family.heaps.reason
    assert bool(family.heaps.reason) is bool(reason)


def test_two_heaps_that_cameras_do_not_agree_on_move_nothing():
    """One camera has two heaps of its own, for example by what the gripper looks like; the others see one."""
    random = np.random.default_rng(1)
    margins = np.column_stack([seen(half(), gap=20.0, cameras=1), random.normal(0, 1, (200, 2))])
    found = find_heaps(margins, np.ones(3))
    assert found.split.trust > 0
    assert "do not agree" in found.reason


def test_what_moves_nothing_leaves_every_verdict_as_it_was():
    """Boundaries of the calibration before, by task and for all others, with other temperatures around them."""
    margins = seen(np.ones(200, np.bool_), spread=3.0, gap=0.0)
    base = Calibration(
        temperatures={1: 2.0, 3: 0.7},
        bias=1.0,
        threshold=0.2,
        task_thresholds={"open the drawer": 0.9},
        tasks={"push the _": Task(3.0, {"wrist": 0.1})},
        camera_weights={"side": 2.0},
        abstention_band=(-0.1, 0.0),
    )
    fitted = fit_by_agreement(population(margins), base).calibration
    for family in ("lift the _", "open the drawer", "push the _"):
        assert (called(fitted, margins, family) == called(base, margins, family)).all()
    assert fitted.temperatures != base.temperatures
    assert "as before: 'lift the _'" in fitted.method


def test_verdicts_are_withheld_where_views_contradict_each_other():
    """From good cameras to nearly blind ones: fewer verdicts, and those that are left are hardly ever wrong."""
    labels, coverage = half(2000), []
    for spread in (1.0, 3.0, 6.0, 30.0):
        margins = seen(labels, spread=spread)
        fitted = fit_by_agreement(population(margins), Calibration()).calibration
        told = np.array([fitted.outcome(p, fitted.threshold) for p in probabilities(population(margins), fitted)])
        wrong = np.where(labels, told == Outcome.FAILURE, told == Outcome.SUCCESS)
        coverage.append(np.mean(told != Outcome.UNCERTAIN))
        assert wrong.sum() <= 0.07 * (told != Outcome.UNCERTAIN).sum()
    assert coverage == sorted(coverage, reverse=True)
    assert coverage[0] == 1.0
    assert coverage[-1] < 0.3


def test_the_band_is_as_narrow_as_doubt_allows():
    chances = np.array([0.01, 0.02, 0.98, 0.6, 0.45])
    assert doubt_band(chances, 0.5) == 0.0
    half_width = doubt_band(chances, 0.05)
    given = np.abs(chances - 0.5) > half_width
    assert given.tolist() == [True, True, True, False, False]
    assert doubt_band(np.array([0.4, 0.6]), 0.05) == pytest.approx(0.1)


def test_an_instruction_of_a_family_that_moved_loses_its_old_boundary():
    base = Calibration(task_thresholds={"lift the cube": 0.99, "open it": 0.9})
    fitted = fit_by_agreement(population(seen(half())), base).calibration
    assert set(fitted.tasks) == {"lift the _", "open it"}


def test_the_method_says_that_no_label_was_used():
    method = fit_by_agreement(population(seen(half())), Calibration()).calibration.method
    assert method.startswith("no label was used")
    assert "1 of 1 families" in method
    assert "agreement across 3 cameras" in method


def noisy(kind: str) -> np.ndarray:
    """Two good cameras and a third that tells nothing."""
    random, margins = np.random.default_rng(4), seen(half(300), spread=2.0)
    margins[:, 2] = {
        "noise": random.normal(0, 3, 300),
        "loud noise": random.normal(2, 20, 300),
        "two heaps of nothing": np.where(random.random(300) < 0.5, 9, -9) + random.normal(0, 1, 300),
        "the opposite": -margins[:, 2],
        "nearly the same for all": 4 + random.normal(0, 0.2, 300),
        "the same for all": np.full(300, 4.0),
    }[kind]
    return margins


@pytest.mark.parametrize("kind", ["noise", "loud noise", "two heaps of nothing", "the opposite"])
def test_a_camera_that_does_not_see_the_outcome_is_discounted(kind):
    margins = noisy(kind)
    weights = camera_weights(margins, np.zeros(300, np.intp))
    assert weights[2] < 0.1
    assert weights[:2].min() > 0.9
    labels = half(300)
    fitted = fit_by_agreement(population(margins), Calibration()).calibration
    assert balanced_accuracy(labels, called(fitted, margins)) > 0.95


@pytest.mark.parametrize("kind", ["nearly the same for all", "the same for all"])
def test_a_camera_whose_margin_does_not_vary_changes_no_verdict(kind):
    margins, labels = noisy(kind), half(300)
    weights = camera_weights(margins, np.zeros(300, np.intp))
    assert weights[2] * margins[:, 2].std() < 0.1 * weights[0] * margins[:, 0].std()
    fitted = fit_by_agreement(population(margins), Calibration()).calibration
    assert balanced_accuracy(labels, called(fitted, margins)) > 0.95


def test_which_camera_sees_the_outcome_may_depend_on_the_task():
    lift, drawer = noisy("noise"), noisy("noise")[:, [2, 0, 1]]
    groups = np.repeat([0, 1], 300)
    margins = np.concatenate([lift, drawer])
    found = weights_by_family(margins, groups, camera_weights(margins, groups))
    assert found[0].argmin() == 2
    assert found[1].argmin() == 0


def test_differences_between_families_are_no_agreement():
    """Cameras that see nothing, but know the instruction, would otherwise seem to agree."""
    random = np.random.default_rng(5)
    groups = np.repeat([0, 1], 200)
    margins = random.normal(np.where(groups == 0, 5, -5)[:, None], 1, (400, 3))
    margins[:, 2] *= 3
    weights = camera_weights(margins, groups)
    assert weights[0] == pytest.approx(3 * weights[2], rel=0.9)  # by their spread alone, each as little as the others


def test_two_cameras_cannot_outvote_each_other():
    assert camera_weights(seen(half(), cameras=2), np.zeros(200, np.intp)) is None
    assert camera_weights(seen(half(60)), np.zeros(60, np.intp)) is None


def test_missing_cameras_are_left_out_of_the_mean():
    margins = np.array([[1.0, np.nan, 4.0], [np.nan, np.nan, np.nan]])
    assert fused(margins, np.array([1.0, 9.0, 2.0])).tolist()[0] == pytest.approx(3.0)
    assert np.isnan(fused(margins, np.ones(3))[1])


def test_a_pool_whose_episodes_lack_cameras_is_calibrated():
    margins, random = seen(half(300), shift=-3.0), np.random.default_rng(6)
    margins[random.random(300) < 0.3, 2] = np.nan
    fitted = fit_by_agreement(population(margins), Calibration()).calibration
    assert fitted.of("lift the _").offset == pytest.approx(-3, abs=0.5)
    own = fitted.of("lift the _")
    assert own.probability(own.fuse([0.0], ["front"]), 1) > 0.9


@pytest.mark.parametrize("truth", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("errors", [0.0, 0.2])
def test_the_temperature_is_exact_for_views_without_errors_and_careful_for_others(truth, errors):
    random = np.random.default_rng(7)
    margins = random.normal(0, 6, 4000)
    labels = random.random(4000) < 1 / (1 + np.exp(-margins / truth))
    found = temperature(margins, labels ^ (random.random(4000) < errors))
    if errors:
        assert truth < found < 8 * truth
    else:
        assert found == pytest.approx(truth, rel=0.15)


def test_overconfident_margins_become_careful_however_loud_they_are():
    """A mediocre model never states more than it is right in, and the same whatever its margins are multiplied by."""
    labels, stated = half(600), {}
    for loudness in (2, 20):
        margins = seen(labels, gap=0.6, spread=1.0, seed=8) * loudness
        for name, calibration in (
            ("before", Calibration()),
            ("after", fit_by_agreement(population(margins), Calibration()).calibration),
        ):
            own = calibration.of("lift the _")
            stated[name, loudness] = np.array([own.probability(own.fuse(row.tolist(), CAMERAS), 3) for row in margins])
    right = {key: ((values >= 0.5) == labels).mean() for key, values in stated.items()}
    sure = {key: np.abs(values - 0.5).mean() + 0.5 for key, values in stated.items()}
    assert sure["before", 20] > right["before", 20] + 0.1
    assert sure["after", 20] <= right["after", 20]
    assert stated["after", 2] == pytest.approx(stated["after", 20], abs=0.02)


def test_more_cameras_are_never_less_sure():
    fitted = fit_by_agreement(population(seen(half(), gap=1.0)), Calibration()).calibration
    one, two, three = (fitted.temperatures[count] for count in (1, 2, 3))
    assert one >= two >= three >= one / 3


def test_a_single_camera_is_compared_with_other_sights_of_its_own():
    labels = half(300)
    margins = seen(labels, cameras=1)
    assert temperatures_by_agreement([(margins, np.full(margins.shape, np.nan), np.ones(1))]) == {}
    sights = np.stack([seen(labels, cameras=1, seed=k) for k in (1, 2)])
    fitted = fit_by_agreement(population(margins, sights=sights), Calibration()).calibration
    assert set(fitted.temperatures) == {1}
    assert "1 cameras and 2 other wordings" in fitted.method


def test_nothing_to_compare_leaves_the_temperature_alone():
    base = Calibration(temperatures={1: 3.0})
    fitted = fit_by_agreement(population(seen(half(40), cameras=1)), base).calibration
    assert fitted.temperatures == {1: 3.0}
    assert "temperature and abstention as before" in fitted.method


def test_the_boundary_is_where_the_verdict_turns():
    calibration = Calibration(temperatures={1: 2.0}, bias=0.5, threshold=0.8, offset=1.0)
    at = boundary(calibration, 1)
    assert sigmoid((at - 1) / 2 + 0.5) == pytest.approx(0.8, abs=1e-5)
    assert abs(boundary(replace(calibration, threshold=1.0), 1)) < 100


def test_the_yes_share_counts_what_is_called_a_success():
    margins = np.array([[1.0, 1.0, np.nan], [-1.0, -1.0, 5.0], [-1.0, np.nan, np.nan]])
    assert yes_share(population(margins), Calibration()) == pytest.approx(2 / 3)
