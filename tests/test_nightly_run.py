"""Nights from recordings to champions: what is new, what is learned from, what is refused, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nightly_fake import CALM, commands, nightly, pointers, report
from robo_dialog.cli import main
from robo_dialog.detect.store import ModelStore, Pointers
from robo_dialog.errors import ConfigError
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.improve.stages import is_held_out
from robo_dialog.nightly.night import nights
from robo_dialog.nightly.settings import Memory
from robo_episodes.pool import FramePool

__all__ = ["commands", "nightly"]


def episodes(pool: Path) -> set[str]:
    return {one.id for one in FramePool.open(pool).episodes()}


def test_a_good_night_ends_with_another_champion_and_a_page(nightly, commands):
    first = pointers(nightly).champion
    commands.record("monday")
    assert nightly.run() == 0
    now = pointers(nightly)
    assert (now.previous, report(nightly)["champion"]) == (first, now.champion)
    assert now.champion != first
    shown = ModelStore(nightly.store).versions()[-1].manifest
    assert (shown.name, shown.lineage.base_model) == ("detector", "tiny")
    assert "__DATA__" not in (nightly.work / "history.html").read_text()
    assert json.loads((nightly.work / "history.json").read_text())[0]["outcome"] == "promoted"
    assert (nightly.work / "nights" / "0001" / "report.html").exists()


def test_the_same_command_again_finds_nothing_new_and_leaves_no_trace(nightly, commands):
    commands.record("monday")
    assert nightly.run() == 0
    assert nightly.run() == 20
    assert [night.number for night in nights(nightly.work)] == [1]
    assert commands.calls.count("improve") == 1


def test_few_episodes_wait_until_there_are_more(nightly, commands):
    commands.record("monday", count=6)
    assert nightly.run() == 20
    commands.record("tuesday", count=6)
    assert nightly.run() == 0
    assert report(nightly)["figures"]["new"] == 12


def test_a_candidate_that_is_not_good_enough_changes_nothing(nightly, commands):
    before = pointers(nightly)
    commands.good = False
    commands.record("monday")
    assert nightly.run() == 10
    assert pointers(nightly) == before
    assert report(nightly)["reason"] == "worse than the champion"


def test_new_boundaries_alone_are_published_only_where_labels_can_judge_them(nightly, commands, tmp_path):
    commands.record("monday")
    commands.good_round = False
    first = pointers(nightly).champion
    assert nightly.run() == 10
    assert pointers(nightly).champion == first
    assert "promote" not in commands.calls
    assert report(nightly)["reason"] == "no round was kept: answers less consistently"
    commands.record("tuesday")
    judged = replace(nightly, labelled=(tmp_path / "labelled",))
    assert judged.run() == 0
    assert commands.calls[-1] == "promote"


def test_the_next_night_tunes_the_champion_of_the_one_before(nightly, commands):
    for day in ("monday", "tuesday"):
        commands.record(day)
        assert nightly.run() == 0
    second = nights(nightly.work)[1]
    assert second.model == str(nightly.work / "checkpoints" / second.champion)
    assert (Path(second.model) / "model.safetensors").read_text() == "tiny"


def test_a_champion_that_no_night_made_is_replaced_from_the_first_model(nightly, commands, tmp_path):
    commands.record("monday")
    assert nightly.run() == 0
    ModelStore(nightly.store).rollback()
    commands.record("tuesday")
    assert nightly.run() == 0
    assert nights(nightly.work)[1].model == "tiny"


def test_nights_learn_from_the_nights_before(nightly, commands):
    for day in ("monday", "tuesday"):
        commands.record(day)
        nightly.run()
    everything = {one.id for day in commands.days.values() for one in day}
    assert episodes(nights(nightly.work)[1].path / "pool") == everything


def test_games_that_judge_are_about_episodes_that_nothing_was_learned_from(nightly, commands):
    commands.record("monday")
    nightly.run()
    folder = nights(nightly.work)[0].path / "gate_games"
    lines = (folder / "dialogs.jsonl").read_text().splitlines()
    asked = [json.loads(line)["describer"]["episode_id"] for line in lines]
    assert 0 < len(asked) < len(commands.days["monday"])
    assert all(is_held_out(one, RoundSettings().held_out) for one in asked)
    assert (folder / "run.json").exists()


def test_a_refused_candidates_episodes_are_not_learned_from_again(nightly, commands):
    commands.record("poisoned")
    commands.good = False
    nightly.run()
    commands.record("clean")
    commands.good = True
    assert nightly.run() == 0
    folder = nights(nightly.work)[1].path
    assert episodes(folder / "pool") == {one.id for one in commands.days["clean"]}


def test_a_night_without_evidence_is_learned_from_again_and_says_so(nightly, commands):
    commands.record("monday")
    commands.good = False
    commands.checks = [{"name": "games", "passed": True}, {"name": "evidence", "passed": False}]
    assert nightly.run() == 10
    assert [alarm["code"] for alarm in report(nightly)["alarms"]] == ["undecided"]
    commands.record("tuesday")
    commands.good, commands.checks = True, []
    assert nightly.run() == 0
    everything = {one.id for day in commands.days.values() for one in day}
    assert episodes(nights(nightly.work)[1].path / "pool") == everything


@pytest.mark.parametrize(("difference", "usable"), [(0.01, True), (-0.01, False), (None, False)])
@pytest.mark.parametrize("good_round", [True, False])
def test_a_gain_that_so_few_episodes_cannot_prove_is_waited_for(nightly, commands, good_round, difference, usable):
    """The champion stays, and the next night learns from these episodes again; not so if the candidate looked worse."""
    commands.record("monday")
    commands.good, commands.good_round = False, good_round
    commands.checks = [{"name": "games won", "passed": False, "figures": {"difference": difference}}]
    assert nightly.run() == 10
    assert report(nightly)["usable"] == usable
    assert not report(nightly)["alarms"]


def test_a_night_of_garbage_is_refused_before_a_game_is_played(nightly, commands):
    before = pointers(nightly)
    strict = replace(nightly, bounds=replace(CALM, garbage=0.1))
    commands.record("lens cap")  # uniform images
    assert strict.run() == 10
    assert report(strict)["outcome"] == "refused"
    assert [alarm["code"] for alarm in report(strict)["alarms"]] == ["garbage"]
    assert "improve" not in commands.calls
    assert pointers(nightly) == before


def test_three_refusals_in_a_row_are_an_alarm(nightly, commands):
    commands.good = False
    for day in ("monday", "tuesday", "wednesday"):
        commands.record(day)
        nightly.run()
    codes = [[alarm["code"] for alarm in night.report["alarms"]] for night in nights(nightly.work)]
    assert codes == [[], [], ["refusals"]]


def test_a_dry_run_writes_nothing(nightly, commands, capsys):
    commands.record("monday")
    assert replace(nightly, dry_run=True, json=True).run() == 0
    assert json.loads(capsys.readouterr().out)["goes_on_with"] is None
    assert not nightly.work.exists()
    assert commands.calls == []


def test_old_nights_keep_their_report_and_old_versions_go(nightly, commands):
    short = replace(nightly, memory=Memory(window=1, nights=2, bundles=2))
    for day in range(4):
        commands.record(str(day))
        assert short.run() == 0
    first = nights(short.work)[0].path
    assert {path.name for path in first.iterdir()} == {
        "night.json",
        "report.json",
        "report.html",
        "episodes.txt",
        "decision.json",
    }
    assert len(ModelStore(short.store).versions()) == 2
    assert len(list((short.work / "checkpoints").iterdir())) == 2
    assert short.run() == 20, "what was forgotten is not new again"


def test_a_night_needs_something_that_can_be_new(nightly):
    with pytest.raises(ConfigError, match="nothing can ever be new"):
        replace(nightly, recordings=()).run()


def test_frames_that_the_server_kept_are_new_once(nightly, commands, tmp_path):
    from labelled_pools import drawn, write_pool

    write_pool(tmp_path / "recorded" / "pool-00001", drawn(30, seed=9))
    served = replace(nightly, recordings=(), recorded=tmp_path / "recorded")
    assert served.run() == 0
    assert "ingest" not in commands.calls
    assert served.run() == 20


def test_a_rollback_is_one_command_and_quick(nightly, commands, capsys):
    commands.record("monday")
    nightly.run()
    now = pointers(nightly)
    with pytest.raises(SystemExit):
        main(["models", "rollback", str(nightly.store)])
    assert pointers(nightly) == Pointers(now.previous, now.champion)


def test_statistics_are_numbers_that_tell_cameras_apart():
    from robo_dialog.nightly import drift

    random = np.random.default_rng(0)
    scenes = random.integers(0, 256, (40, 6, 8, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    seen = np.stack([drift.features(image) for image in scenes])
    darker = np.stack([drift.features(image // 2) for image in scenes])
    again = np.stack([drift.features(np.roll(image, 16, axis=0)) for image in scenes])
    assert not drift.garbage(seen).any()
    assert drift.distance(seen, darker) > max(0.45, drift.chance(40, 40)) > drift.distance(seen, again)
    noise = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (64, 96, 224, 480)]
    blank = np.full((5, 64, 64, 3), 7, np.uint8)
    assert drift.garbage(np.stack([drift.features(image) for image in (*noise, *blank)])).all()
