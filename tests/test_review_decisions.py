"""Which episodes are reviewed first, and what becomes of decisions: kept at once, taken back, read as labels."""

from __future__ import annotations

import errno
import os

import pytest

import bundles
from labelled_pools import Attempt, drawn, level_of, write_pool
from review_rows import row
from robo_dialog.detect.calibration import parse_calibration
from robo_dialog.errors import ConfigError, PoolError, RoboDialogError
from robo_dialog.review.decisions import Decisions, successes
from robo_dialog.review.doubt import doubt, most_doubtful
from robo_dialog.tune.calibrate_command import Calibrate
from robo_dialog.tune.labels import read_labels
from robo_dialog.tune.subjects import JudgeChoice
from robo_episodes.episode import Trust
from robo_episodes.errors import UnreadableError
from robo_episodes.pool import FramePool
from robo_episodes.verdicts import VerdictRow, read_verdicts, to_jsonl

# --- what is looked at ----------------------------------------------------------------------------------------------


def test_contradictions_and_close_verdicts_take_turns_and_the_decided_come_last():
    rows = [
        row("close", 0.52),
        row("sure", 0.99, True),
        row("wrong", 0.9, False),
        row("very wrong", 0.99, False),
        row("closer", 0.51, True),
        row("known", 0.5, False),
    ]
    chosen = [one.episode_id for one in most_doubtful(rows, 9, {"known"})]
    assert chosen == ["very wrong", "closer", "wrong", "close", "sure", "known"]
    assert [one.episode_id for one in most_doubtful(rows, 3, {"known"})] == chosen[:3]


def test_cameras_that_differ_go_before_a_close_verdict():
    rows = [row("close", 0.51), row("split", 0.7, None, 0.9, 0.2)]
    assert [one.episode_id for one in most_doubtful(rows, 2, ())] == ["split", "close"]
    assert (doubt(rows[1]).cameras_differ, doubt(rows[0]).cameras_differ) == (True, False)


def test_of_many_rows_few_are_held_and_equal_ones_stay_in_order():
    rows = (row(str(number), 0.4) for number in range(5000))
    assert [one.episode_id for one in most_doubtful(rows, 3, ())] == ["0", "1", "2"]


# --- what is decided ------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "reviews.jsonl"


def test_decisions_are_verdicts_of_a_person(file):
    decisions = Decisions(file, "anna")
    decisions.add(row("a", 0.9), "no")
    decisions.add(row("b", 0.1), "yes")
    decisions.add(row("c", 0.1), "unsure")
    rows = list(read_verdicts(file))
    assert [(one.episode_id, one.outcome, one.judged_by, one.probability) for one in rows] == [
        ("a", "FAILURE", "person:anna", None),
        ("b", "SUCCESS", "person:anna", None),
        ("c", "UNCERTAIN", "person:anna", None),
    ]
    assert successes(rows) == {"a": False, "b": True}


def test_the_last_word_counts_and_may_be_taken_back(file):
    decisions = Decisions(file, "anna")
    for decision in ("no", "yes"):
        decisions.add(row("a", 0.9), decision)
    assert successes(read_verdicts(file)) == {"a": True}
    decisions.add(row("a", 0.9), "none")
    assert successes(read_verdicts(file)) == {}
    assert decisions.decided() == set()
    assert len(list(read_verdicts(file))) == 3


def test_decisions_are_known_again_after_a_crash_that_cut_a_line_short(file):
    decisions = Decisions(file, "anna")
    decisions.add(row("a", 0.9), "no")
    decisions.add(row("b", 0.9), "unsure")
    with file.open("ab") as torn:
        torn.write(b'{"episode_id": "c", "sour')
    again = Decisions(file, "anna")
    assert (again.of("a"), again.of("b"), again.of("c")) == ("no", "unsure", "none")
    again.add(row("c", 0.9), "yes")
    assert successes(read_verdicts(file)) == {"a": False, "c": True}
    assert Decisions(file, "bob").decided() == set()


def test_a_decision_that_cannot_be_saved_does_not_count(file, monkeypatch):
    decisions = Decisions(file, "anna")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        decisions.add(row("a", 0.9), "yes")
    assert decisions.of("a") == "none"


def test_files_that_cannot_hold_decisions_are_refused(tmp_path, file):
    with pytest.raises(RoboDialogError, match="name another file"):
        Decisions(tmp_path / "absent" / "reviews.jsonl", "anna")
    file.write_text("something else\n")
    with pytest.raises(UnreadableError, match="is no JSON object"):
        Decisions(file, "anna")


# --- as labels ------------------------------------------------------------------------------------------------------


def said(name, outcome, judge="person:anna", **more):
    return VerdictRow(name, "/day.hdf5", None, outcome, None, judge, **more)


def test_what_people_say_goes_before_labels_and_gives_labels_where_there_are_none(tmp_path, file):
    attempts = [
        Attempt(f"e{k}", {"front": level_of(k)}, success) for k, success in enumerate((True, False, None, None))
    ]
    pool = FramePool.open(write_pool(tmp_path / "pool", attempts))
    file.write_bytes(
        to_jsonl(
            [
                said("e0", "FAILURE"),
                said("e1", "UNCERTAIN"),
                said("e2", "SUCCESS"),
                said("e3", "SUCCESS", judge="tiny@ab12"),
                said("elsewhere", "SUCCESS"),
            ]
        )
    )
    found = {name: label.success for name, label in read_labels(pool, file).items()}
    assert found == {"e0": False, "e1": False, "e2": True}


def test_reviews_alone_are_labels_enough(tmp_path, file):
    attempts = [Attempt(f"e{k}", {"front": level_of(k)}, trust=Trust.CONSTANT) for k in range(2)]
    pool = FramePool.open(write_pool(tmp_path / "pool", attempts))
    with pytest.raises(PoolError, match="it is no label"):
        read_labels(pool)
    file.write_bytes(to_jsonl([said("e0", "FAILURE"), said("e1", "SUCCESS")]))
    assert len(read_labels(pool, file)) == 2
    file.write_bytes(to_jsonl([said("e0", "SUCCESS"), said("e1", "SUCCESS")]))
    with pytest.raises(PoolError, match="all 2 labelled episodes are successes"):
        read_labels(pool, file)


def test_drawn_labels_are_what_they_were_without_reviews(tmp_path):
    pool = FramePool.open(write_pool(tmp_path / "pool", drawn(20)))
    assert read_labels(pool, None) == read_labels(pool)


def test_reviews_move_the_thresholds_of_the_next_calibration(tmp_path, file):
    """The detector's success begins at a margin of 0, the person's at -2.5."""
    margins = [k / 4 - 5 for k in range(40)]
    attempts = [Attempt(f"e{k}", {"front": level_of(m)}, trust=Trust.NONE) for k, m in enumerate(margins)]
    pool = write_pool(tmp_path / "pool", attempts)
    words = ["SUCCESS" if m >= -2.5 else "FAILURE" for m in margins]
    file.write_bytes(to_jsonl([said(f"e{k}", word) for k, word in enumerate(words)]))
    judge = JudgeChoice(bundle=bundles.write(tmp_path / "bundle"))
    assert Calibrate((pool,), tmp_path / "out", judge, reviews=file).run() == 0
    fitted = parse_calibration((tmp_path / "out" / "calibration.json").read_bytes()).of("lift it")
    called = [fitted.probability(m, 1) >= fitted.threshold for m in margins]
    assert called == [word == "SUCCESS" for word in words]
    with pytest.raises(ConfigError, match="leave them or --without-labels out"):
        Calibrate((pool,), tmp_path / "more", judge, reviews=file, without_labels=True).run()
