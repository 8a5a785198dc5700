"""Which figures ring."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from robo_dialog.errors import ConfigError
from robo_dialog.nightly.alarms import alarms
from robo_dialog.nightly.outcomes import reviewed
from robo_dialog.nightly.settings import Bounds, Budget, Memory

USUAL = {
    "garbage": 0.0,
    "drift": 0.2,
    "drift_by_chance": 0.3,
    "yes_share": 0.5,
    "diversity": 0.2,
    "luck": 0.0,
    "disagreement": 0.05,
    "said_success": 0.5,
    "seen_success": 0.5,
}


def codes(refusals: int = 0, **changed: float | None) -> list[str]:
    return [one.code for one in alarms({**USUAL, **changed}, [USUAL] * 3, refusals, Bounds())]


def test_a_night_like_the_others_is_calm():
    assert codes() == []


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("garbage", {"garbage": 0.3}),
        ("drift", {"drift": 0.6}),
        ("yes_share", {"yes_share": 0.9}),
        ("yes_share", {"yes_share": 0.1}),
        ("diversity", {"diversity": 0.05}),
        ("luck", {"luck": 0.2}),
        ("disagreement", {"disagreement": 0.4}),
        ("reward", {"said_success": 0.8}),
    ],
)
def test_what_leaves_its_bounds_rings(code, changed):
    assert codes(**changed) == [code]


def test_verdicts_that_rise_with_what_is_seen_are_no_alarm():
    assert codes(said_success=0.8, seen_success=0.8) == []
    assert codes(said_success=0.8, seen_success=0.3) == ["reward"]


def test_few_frames_differ_by_chance():
    assert codes(drift=0.6, drift_by_chance=0.7) == []


def test_refusals_in_a_row_ring():
    assert codes(refusals=2) == []
    assert codes(refusals=3) == ["refusals"]


def test_figures_that_nothing_determines_do_not_ring():
    assert alarms(dict.fromkeys(USUAL), [], 0, Bounds()) == []
    assert alarms(USUAL | {"yes_share": 1.0}, [], 0, Bounds()) == []


def test_reviewed_requests_are_counted_since_the_night_before(tmp_path):
    rows = [("2026-01-01T03:00:00+00:00", "SUCCESS", True), ("2026-01-02T03:00:00+00:00", "SUCCESS", False)]
    lines = [json.dumps({"time": when, "verdict": said, "success": seen}) for when, said, seen in rows]
    lines += [json.dumps({"time": rows[1][0], "verdict": None, "success": True}), '{"time": "2026-01-0']
    (tmp_path / "outcomes.jsonl").write_text("\n".join(lines))
    assert reviewed(tmp_path, None) == {"reviewed": 2, "said_success": 1.0, "seen_success": 0.5}
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert reviewed(tmp_path, since) == {"reviewed": 1, "said_success": 1.0, "seen_success": 0.0}
    assert reviewed(None, None)["said_success"] is None


@pytest.mark.parametrize(
    "make", [lambda: Budget(hours=0), lambda: Memory(window=9, nights=3), lambda: Memory(bundles=1)]
)
def test_settings_that_allow_nothing_are_refused(make):
    with pytest.raises(ConfigError):
        make()
