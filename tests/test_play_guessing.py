"""The likelihood Guesser's arithmetic against plain Bayes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_dialog.play.guessing import EPSILON, best_guess, information_gain, posterior

probabilities = st.floats(0, 1)


@st.composite
def tables(draw):
    """P(yes) of some turns for some candidates, and the answers."""
    turns, candidates = draw(st.integers(1, 8)), draw(st.integers(2, 8))
    row = st.lists(probabilities, min_size=candidates, max_size=candidates)
    return (
        draw(st.lists(row, min_size=turns, max_size=turns)),
        draw(st.lists(st.booleans(), min_size=turns, max_size=turns)),
    )


def softened(p):
    return EPSILON + (1 - 2 * EPSILON) * p


def entropy(weights):
    return -sum(w * math.log2(w) for w in weights if w > 0)


@given(tables())
def test_the_posterior_is_bayes_rule_from_a_uniform_start(table):
    p_yes, answers = table
    rows = list(zip(p_yes, answers, strict=True))
    likelihoods = [
        math.prod(softened(row[k]) if answer else 1 - softened(row[k]) for row, answer in rows)
        for k in range(len(p_yes[0]))
    ]
    found = posterior(p_yes, answers)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx([one / sum(likelihoods) for one in likelihoods])


@given(tables(), st.randoms(use_true_random=False))
def test_the_posterior_does_not_depend_on_the_order_of_turns(table, random):
    rows = list(zip(*table, strict=True))
    before = posterior(*table)
    random.shuffle(rows)
    assert posterior(*map(list, zip(*rows, strict=True))) == pytest.approx(before)


def test_no_single_answer_rules_a_candidate_out():
    weights = posterior([[1.0, 0.0]], [False])
    assert weights[0] == pytest.approx(EPSILON)
    back = posterior([[1.0, 0.0], [1.0, 0.0]], [False, True])
    assert back == pytest.approx([0.5, 0.5])


def test_a_posterior_without_turns_is_refused():
    with pytest.raises(ValueError, match="no turn"):
        posterior([], [])


@given(tables(), st.integers(0, 2**32 - 1))
def test_information_gain_is_what_the_answer_takes_off_the_uncertainty(table, seed):
    questions = np.array(table[0])
    prior = np.random.default_rng(seed).dirichlet(np.ones(questions.shape[1]))
    gains = information_gain(prior, questions)
    assert gains.shape == (len(questions),)
    for gain, row in zip(gains, softened(questions), strict=True):
        yes, no = prior * row, prior * (1 - row)
        expected = entropy(prior) - yes.sum() * entropy(yes / yes.sum()) - no.sum() * entropy(no / no.sum())
        assert gain == pytest.approx(expected, abs=1e-9)
        assert -1e-12 <= gain <= min(1, entropy(prior)) + 1e-9


@given(probabilities, st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_a_question_that_all_candidates_answer_alike_gains_nothing(p_yes, candidates, seed):
    prior = np.random.default_rng(seed).dirichlet(np.ones(candidates))
    assert information_gain(prior, np.full((1, candidates), p_yes)) == pytest.approx([0], abs=1e-12)


def test_the_question_that_halves_the_candidates_gains_most():
    questions = np.array([[1.0, 0, 0, 0], [1.0, 1, 0, 0], [0.6, 0.6, 0.4, 0.4], [1.0, 1, 1, 1]])
    assert information_gain(np.full(4, 0.25), questions).argmax() == 1
    # Once the first two are ruled out, only what parts the others counts.
    known = np.array([0.0, 0, 0.5, 0.5])
    assert information_gain(known, np.array([[1.0, 1, 0, 0], [1.0, 0, 1, 0]])).argmax() == 1


def test_the_best_guess_is_the_likeliest():
    rng = np.random.default_rng(0)
    assert {best_guess(np.array([0.1, 0.2, 0.4, 0.3]), rng) for _ in range(20)} == {2}


def test_ties_are_broken_by_chance_and_not_by_place():
    rng = np.random.default_rng(0)
    named = np.bincount([best_guess(np.array([0.3, 0.1, 0.3, 0.3 + 1e-12]), rng) for _ in range(600)], minlength=4)
    assert named[1] == 0
    assert min(named[[0, 2, 3]]) > 150
