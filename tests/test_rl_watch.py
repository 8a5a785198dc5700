"""When an episode counts as a success, and when it must not."""

from __future__ import annotations

import pytest

from robo_dialog.detect.verdict import Outcome
from robo_dialog.errors import ConfigError
from robo_dialog.rl.watch import Rule, Watch

YES, NO, UNSURE = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNCERTAIN


def ends_at(start, looks, rule):
    """Number of the look with which success is certain; None if it never is."""
    watch = Watch(rule, start)
    return next((place for place, outcome in enumerate(looks) if watch.see(outcome)), None)


@pytest.mark.parametrize(
    ("start", "looks", "needed", "expected"),
    [
        (NO, [YES], 1, 0),
        (NO, [NO, YES, YES], 2, 2),
        (NO, [YES, NO, YES], 2, None),
        (NO, [YES, UNSURE, YES], 2, 2),
        (NO, [UNSURE, UNSURE], 1, None),
        (YES, [YES, YES, YES], 1, None),
        (YES, [YES, NO, YES], 1, 2),
        (UNSURE, [YES], 1, 0),
        (None, [None, YES, None, YES], 2, 3),
    ],
)
def test_success_takes_agreeing_looks_at_a_scene_that_was_seen_undone(start, looks, needed, expected):
    assert ends_at(start, looks, Rule(every=1, looks=needed)) == expected


def test_without_an_interval_only_the_end_is_looked_at():
    assert [Rule().is_due(step, ends=step == 3) for step in (1, 2, 3)] == [False, False, True]
    assert [Rule(every=2).is_due(step, ends=step == 3) for step in (1, 2, 3)] == [False, True, True]


@pytest.mark.parametrize(("values", "named"), [({"looks": 2}, "one look an episode"), ({"every": 0}, "at least 1")])
def test_rules_by_which_nothing_succeeds_are_refused(values, named):
    with pytest.raises(ConfigError, match=named):
        Rule(**values)
