"""The pure parts of what stands beside the study: questions in parts, and changes by kind of instruction."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest

from conftest import REPOSITORY
from robo_dialog.pretrain.held_out import Outcome
from robo_dialog.pretrain.questions import answer
from robo_episodes.sim.state import Goal, State

STATES = (
    State(
        present=frozenset({"red cube", "blue ball"}),
        on_plate=frozenset({"red cube"}),
        on_table=frozenset({"blue ball"}),
        on_top=frozenset(),
        held=None,
        drawer=0.0,
    ),
    State(
        present=frozenset({"red cube", "blue cube", "green cylinder"}),
        on_plate=frozenset(),
        on_table=frozenset({"blue cube"}),
        on_top=frozenset({("red cube", "blue cube")}),
        held="green cylinder",
        drawer=1.0,
    ),
    State(
        present=frozenset({"red cube", "blue ball", "green cylinder", "yellow ball"}),
        on_plate=frozenset({"green cylinder"}),
        on_table=frozenset({"red cube", "blue ball", "yellow ball"}),
        on_top=frozenset(),
        held=None,
        drawer=0.5,
    ),
)


KINDS = ("yes_no", "negated", "both", "either", "colour", "object", "count", "where")


@pytest.fixture
def families(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("families")


@pytest.fixture
def question_types(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("question_types")


@pytest.mark.parametrize("kind", KINDS)
def test_true_answers_to_the_parts_decide_every_question_rightly(kind, question_types):
    rng, ask = np.random.default_rng(0), question_types.KINDS[kind]
    asked = [
        (state, one)
        for state in STATES
        for _ in range(40)
        for one in ask(Outcome({}, Goal("place", "red cube"), state, "success"), rng)
    ]
    for state, one in asked:
        margins = np.array([1.0 if answer(part, state) else -1.0 for part in one.parts])
        assert one.decide(margins) == one.right, (one.text, state)
    assert any(one.decide(-np.ones(len(one.parts))) != one.right for _, one in asked)


def test_all_kinds_are_tested(question_types):
    assert set(question_types.KINDS) == set(KINDS)


@pytest.mark.parametrize("kind", ["both", "either"])
def test_a_condition_of_two_holds_as_often_as_not(kind, question_types):
    rng, ask = np.random.default_rng(0), question_types.KINDS[kind]
    outcomes = [Outcome({}, Goal("open"), state, "success") for state in STATES for _ in range(200)]
    rights = [one.right for outcome in outcomes for one in ask(outcome, rng)]
    assert 0.4 < np.mean(rights) < 0.6


SUCCESS = np.array([True, True, False, False] * 2)
NAMES = np.array(list("aaaabbbb"))


def test_balanced_accuracy_of_a_family(families):
    found = families.Rights(NAMES, SUCCESS, np.array([1.0, 0, 1, 1, 0, 0, 0, 0]))
    assert families.accuracy(found, "a") == pytest.approx(0.75)
    assert families.accuracy(found, "b") == 0
    assert families.accuracy(found) == pytest.approx(0.375)


def test_a_change_that_every_episode_shows_has_no_width(families):
    before, after = (families.Rights(NAMES, SUCCESS, np.full(8, share)) for share in (0.0, 0.2))
    assert families.interval(before, after, "a") == pytest.approx((20, 20))


def test_a_change_of_few_episodes_is_wide(families):
    before = families.Rights(NAMES, SUCCESS, np.ones(8))
    after = families.Rights(NAMES, SUCCESS, np.array([1.0, 1, 1, 1, 0, 1, 1, 1]))
    assert families.interval(before, after, "b") == pytest.approx((-50, 0))


@pytest.mark.parametrize(
    ("promoted", "served"),
    [
        ((True, True, False), "cross_view-0/round-2"),
        ((True, True, True), "cross_view-0/round-3"),
        ((False, True, True), "recalibrated-0/round-0"),
    ],
)
def test_what_is_served_came_through_every_gate_before_it(promoted, served, families, tmp_path):
    for number, one in enumerate(promoted, start=1):
        (folder := tmp_path / "cross_view-0" / f"round-{number}").mkdir(parents=True)
        (folder / "gate.json").write_text(json.dumps({"promoted": one}))
    assert families.served(families.Lab(tmp_path, 0, 0, 0, 0), 3) == tmp_path / served


def test_a_variant_is_tuned_in_its_own_way(families, tmp_path):
    recipe, lab = importlib.import_module("recipe"), families.Lab(tmp_path, 0, 0, 0, games=1)
    tuned = recipe.settings_of(lab, recipe.VARIANTS["steps_60_batch_16"])
    assert (tuned.tune.steps, tuned.tune.batch, tuned.tune.seed) == (60, 16, lab.settings.tune.seed)
    assert recipe.settings_of(lab, recipe.VARIANTS["recipe"]) == lab.settings
