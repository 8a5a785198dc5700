"""Augmentations: another picture of the same scene, the same one for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_dialog.play.views import augment

SEEDS = range(12)


def scene(height=48, width=64):
    """A red square left of the middle on a grey table that is darker at the bottom."""
    image = np.full((height, width, 3), 120, np.uint8)
    image[height // 2 :] = 70
    image[height // 4 : height // 2, width // 8 : width // 3] = (220, 30, 30)
    return image


def place_of(image, colour):
    """Centre of what is nearest to a colour, as (row, column)."""
    distance = np.abs(image.astype(float) - colour).sum(2)
    return np.argwhere(distance < 150).mean(0)


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1), st.integers(1, 40), st.integers(1, 40))
def test_an_augmentation_has_the_size_of_the_image_and_depends_on_the_seed_alone(seed, height, width):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    seen = augment(image, seed)
    assert (seen.shape, seen.dtype) == (image.shape, np.uint8)
    assert np.array_equal(seen, augment(np.asfortranarray(image), seed))
    assert np.array_equal(image, before)


def test_other_seeds_give_other_pictures():
    assert len({augment(scene(), seed).tobytes() for seed in SEEDS} | {scene().tobytes()}) == len(SEEDS) + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_mirrored_turned_or_moved_far(seed):
    image = scene(96, 96)
    moved = place_of(augment(image, seed), (220, 30, 30)) - place_of(image, (220, 30, 30))
    assert np.abs(moved).max() < 0.08 * 96


@pytest.mark.parametrize("seed", SEEDS)
def test_an_augmentation_is_slight(seed):
    difference = np.abs(augment(scene(96, 96), seed).astype(float) - scene(96, 96))
    assert 1 < np.median(difference) < 60


@pytest.mark.parametrize("level", [0, 255])
def test_black_stays_dark_and_white_stays_light(level):
    for seed in SEEDS:
        assert abs(augment(np.full((24, 24, 3), level, np.uint8), seed).mean() - level) < 60
