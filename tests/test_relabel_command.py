"""`robo-dialog relabel` from recordings to rows, resumed where it stopped, beside the labels that were there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

import bundles
from lerobot_files import Take, write_v3
from recording_files import write_video
from relabel_files import TIME, digests, lines, relabelled, small_shards, write_attempts
from robo_dialog.detect import Detector, Frame, Request
from robo_dialog.detect.calibration import Calibration
from robo_dialog.errors import ConfigError, RecordingError, RoboDialogError
from robo_dialog.relabel import folder as folder_module
from robo_dialog.relabel.command import Relabel
from robo_dialog.relabel.rows import SCHEMA
from robo_episodes.annotate import write_hdf5
from robo_episodes.images import encode_png
from robo_episodes.lerobot_progress import NAME as PROGRESS
from robo_episodes.reading_choice import ReadingChoice
from robo_episodes.stages import reading
from robo_episodes.verdicts import read_verdicts

__all__ = ["small_shards"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundles.write(tmp_path_factory.mktemp("relabel") / "bundle")


@pytest.fixture
def recordings(tmp_path):
    """Twelve files of three episodes; every third episode is a success in the eyes of the bundle."""
    for number in range(12):
        write_attempts(tmp_path / "recordings" / f"day_{number}.hdf5", [-4.0, -2.0 - number / 10, 3.0], "ffs")
    return tmp_path / "recordings"


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_row_holds_the_verdict_that_the_detector_gives_on_the_final_frames(tmp_path, bundle, capsys):
    path = write_attempts(tmp_path / "day.hdf5", [-1.0, 2.0], "fs")
    relabelled(capsys, path, out=tmp_path / "labels", bundle=bundle)
    detector = Detector.load(bundle)
    with h5py.File(path) as file:
        finals = [file[f"data/demo_{k}/next_obs/agentview_image"][-1] for k in range(2)]
    rows = lines(tmp_path / "labels" / "labels.jsonl")
    for number, (row, image) in enumerate(zip(rows, finals, strict=True)):
        verdict = detector.verdicts([Request([Frame(encode_png(image), "agentview")], "lift it")])[0]
        assert row["source"] == f"{path}#/data/demo_{number}"
        assert (row["outcome"], row["threshold"]) == (verdict.outcome, verdict.threshold)
        assert row["probability"] == pytest.approx(verdict.probability, abs=1e-6)
        assert row["cameras"] == [{"camera": "agentview", "step": 2, "probability": row["probability"]}]
        assert row["model_digest"] == detector.digest
        assert row["judged_by"] == f"by-hand@{detector.digest[:12]}"
        assert row["base_model"] == "by hand"
        assert row["label"] is (number == 1)


def test_parquet_and_jsonl_hold_the_same_and_are_verdict_files(tmp_path, recordings, bundle, capsys):
    out = tmp_path / "labels"
    relabelled(capsys, recordings, out=out, bundle=bundle)
    table = pq.read_table(out / "labels.parquet")
    assert table.schema == SCHEMA
    assert table.to_pylist() == lines(out / "labels.jsonl")
    assert list(read_verdicts(out / "labels.parquet")) == list(read_verdicts(out / "labels.jsonl"))
    assert len(table) == 36


def test_the_summary_compares_with_labels_and_with_constant_answers(tmp_path, bundle, capsys):
    path = write_attempts(tmp_path / "day.hdf5", [3.0, 3.0, -3.0, -3.0, -3.0], "sfsff")
    found = relabelled(capsys, path, out=tmp_path / "labels", bundle=bundle)
    assert found["episodes"] == 5
    assert found["verdicts"] == {"SUCCESS": 2, "FAILURE": 3, "UNCERTAIN": 0}
    assert (found["agreement"], found["disagreements"], found["unreadable"]) == (0.6, 2, 0)
    assert (found["recall_success"], found["recall_failure"]) == (0.5, 0.666667)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-6)
    assert found["baselines"]["always_yes"] == {"agreement": 0.4, "balanced_accuracy": 0.5}
    assert found["baselines"]["always_no"] == {"agreement": 0.6, "balanced_accuracy": 0.5}
    assert found["instructions"]["lift it"]["disagreements"] == 2
    assert (tmp_path / "labels" / "summary.json").is_file()


def test_the_samples_are_judged_by_tiny_and_compared_with_their_labels(tmp_path, samples, capsys):
    found = relabelled(capsys, samples, out=tmp_path / "labels")
    assert found["episodes"] == sum(found["verdicts"].values()) == sum(found["labels"].values())
    assert found["labels"]["success"] > 10
    assert found["labels"]["failure"] > 10
    assert 0 < found["agreement"] < 1
    shares = [one["agreement"] for one in found["baselines"].values()]
    assert sum(shares) == pytest.approx(1)
    assert set(found["problems"]) <= {"unreadable", "unsupported", "left_out", "no_instruction", "copy"}


def test_without_labels_nothing_is_compared(tmp_path, bundle, capsys):
    found = relabelled(capsys, write_attempts(tmp_path / "a.hdf5", [1.0]), out=tmp_path / "labels", bundle=bundle)
    assert (found["agreement"], found["balanced_accuracy"]) == (None, None)
    assert found["labels"] == {"success": 0, "failure": 0, "none": 1}


def test_what_cannot_be_judged_is_told_and_the_rest_goes_on(tmp_path, bundle, capsys):
    write_attempts(tmp_path / "r" / "a.hdf5", [1.0])
    write_attempts(tmp_path / "r" / "b.hdf5", [1.0], instruction=None)
    (tmp_path / "r" / "c.hdf5").write_bytes(b"no recording")
    found = relabelled(capsys, tmp_path / "r", out=tmp_path / "labels", bundle=bundle)
    assert found["episodes"] == 1
    assert found["unreadable"] == 1
    assert found["problems"] == {"unreadable": 1, "no_instruction": 1}
    told = {one["code"]: one["text"] for one in lines(tmp_path / "labels" / "problems.jsonl")}
    assert "--instruction" in told["no_instruction"]
    given = ReadingChoice(instruction="lift it")
    assert relabelled(capsys, tmp_path / "r", out=tmp_path / "more", bundle=bundle, reading=given)["episodes"] == 2


def test_more_cameras_than_a_verdict_takes_are_told_with_the_remedy(tmp_path, bundle, capsys):
    cameras = tuple(f"observation.images.c{k:02}" for k in range(17))
    data = write_v3(tmp_path / "many", [Take(3)], kind="image", cameras=cameras)
    found = relabelled(capsys, data, out=tmp_path / "labels", bundle=bundle)
    assert found["problems"] == {"refused": 1}
    assert "choose some with --cameras" in lines(tmp_path / "labels" / "problems.jsonl")[0]["text"]
    some = relabelled(capsys, data, out=tmp_path / "b", bundle=bundle, cameras=("c03", "c04"))
    assert some["episodes"] == 1


def test_sources_without_recordings_are_refused_and_nothing_is_written(tmp_path, bundle):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="no recording found"):
        Relabel((tmp_path / "empty",), out=tmp_path / "labels", bundle=bundle).run()
    assert not (tmp_path / "labels").exists()


# --- long work ------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from robo_dialog.relabel import command
from robo_dialog.relabel.folder import LabelsFolder
from robo_episodes.stages import reading
reading.SHARD_RECORDINGS = 2
keep, kept = LabelsFolder.keep, []
def dying(folder, shard, result):
    if len(kept) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    kept.append(keep(folder, shard, result))
LabelsFolder.keep = dying
command.Relabel((Path(sys.argv[1]),), out=Path(sys.argv[2]), bundle=Path(sys.argv[3])).run()
"""


def test_after_kill_9_the_same_command_goes_on_without_a_lost_or_double_row(
    tmp_path, recordings, bundle, capsys, small_shards, monkeypatch
):
    relabelled(capsys, recordings, out=tmp_path / "whole", bundle=bundle)
    arguments = [sys.executable, "-c", KILLED, recordings, tmp_path / "killed", bundle]
    assert subprocess.run(arguments, check=False).returncode == -9
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "parts").iterdir()}
    assert len(parts) == 3
    assert not (tmp_path / "killed" / "labels.jsonl").exists()
    relabelled(capsys, recordings, out=tmp_path / "killed", bundle=bundle)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    whole, resumed = (
        [{**row, "time": TIME} for row in lines(tmp_path / n / "labels.jsonl")] for n in ("whole", "killed")
    )
    assert resumed == whole
    assert len({row["source"] for row in resumed}) == len(resumed) == 36


def test_of_a_folder_that_grew_only_shards_with_new_recordings_are_judged(
    tmp_path, recordings, bundle, capsys, small_shards
):
    relabelled(capsys, recordings, out=tmp_path / "labels", bundle=bundle)
    before = {path.name for path in (tmp_path / "labels" / "parts").iterdir()}
    write_attempts(recordings / "day_5b.hdf5", [1.0])
    found = relabelled(capsys, recordings, out=tmp_path / "labels", bundle=bundle)
    after = {path.name for path in (tmp_path / "labels" / "parts").iterdir()}
    assert found["episodes"] == 37
    assert 1 <= len(after - before) <= 3
    assert len(before - after) <= 2  # the shard that grew, and the next one where it would have become too long


def test_a_recording_that_changed_is_judged_anew(tmp_path, bundle, capsys):
    path = write_attempts(tmp_path / "a.hdf5", [-3.0])
    relabelled(capsys, path, out=tmp_path / "labels", bundle=bundle)
    write_attempts(path, [3.0])
    assert relabelled(capsys, path, out=tmp_path / "labels", bundle=bundle)["verdicts"]["SUCCESS"] == 1
    assert len(list((tmp_path / "labels" / "parts").iterdir())) == 1


def test_a_label_that_changed_beside_the_recording_is_read_anew(tmp_path, bundle, capsys):
    write_video(tmp_path / "r" / "a.mp4", [bundles.grey(10)] * 4)
    table = tmp_path / "r" / "labels.csv"
    found = []
    for word in ("true", "false"):
        table.write_text(f"file,instruction,success\na.mp4,lift it,{word}\n")
        relabelled(capsys, tmp_path / "r", out=tmp_path / "labels", bundle=bundle)
        found.append(lines(tmp_path / "labels" / "labels.jsonl")[0]["label"])
    assert found == [True, False]


def test_a_folder_of_another_bundle_is_refused(tmp_path, recordings, bundle, capsys):
    relabelled(capsys, recordings, out=tmp_path / "labels", bundle=bundle)
    other = bundles.write(tmp_path / "other", Calibration(threshold=0.4))
    before = digests(tmp_path / "labels")
    with pytest.raises(ConfigError, match=r"begun with other values \(bundle"):
        Relabel((recordings,), out=tmp_path / "labels", bundle=other).run()
    assert digests(tmp_path / "labels") == before


def test_a_large_recording_is_cut_into_shards_and_every_episode_judged_once(tmp_path, bundle, capsys, monkeypatch):
    path = write_attempts(tmp_path / "day.hdf5", [k / 2 - 4 for k in range(17)])
    relabelled(capsys, path, out=tmp_path / "whole", bundle=bundle)
    monkeypatch.setattr(reading, "SHARD_BYTES", path.stat().st_size // 4 + 1)
    relabelled(capsys, path, out=tmp_path / "cut", bundle=bundle)
    assert len(list((tmp_path / "cut" / "parts").iterdir())) == 4
    whole, cut = (
        {row["source"]: row["probability"] for row in lines(tmp_path / n / "labels.jsonl")} for n in ("whole", "cut")
    )
    assert cut == whole
    assert len(lines(tmp_path / "cut" / "labels.jsonl")) == 17


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    tmp_path, recordings, bundle, capsys, small_shards, monkeypatch
):
    written, whole = [], folder_module.replace_file

    def full(path, data):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(whole(path, data))

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "replace_file", full)
        with pytest.raises(
            RoboDialogError, match=r"parquet: cannot be written \(No space left on device\).*run the same"
        ):
            Relabel((recordings,), out=tmp_path / "labels", bundle=bundle).run()
    assert len(list((tmp_path / "labels" / "parts").iterdir())) == 2
    assert relabelled(capsys, recordings, out=tmp_path / "labels", bundle=bundle)["episodes"] == 36


def test_a_folder_that_cannot_be_made_is_told(tmp_path, recordings, bundle):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot be written .*choose another folder with --out"):
        Relabel((recordings,), out=tmp_path / "file" / "labels", bundle=bundle).run()


# --- back to the recordings -----------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path, recordings):
    """HDF5 files, a LeRobot dataset and a video."""
    write_v3(recordings / "bottles", [Take(5), Take(4), Take(6)])
    write_video(recordings / "rollout_lift_it_success.mp4", [bundles.grey(10)] * 4)
    return recordings


@pytest.mark.parametrize("target", ["sidecar", "lerobot", "hdf5"])
def test_recordings_stay_byte_for_byte_as_they_were(tmp_path, mixed, bundle, capsys, target):
    before = digests(mixed)
    found = relabelled(capsys, mixed, out=tmp_path / "labels", bundle=bundle, write=(target,))
    after = digests(mixed)
    assert {path: after[path] for path in before} == before
    assert found["written"][target] == {"sidecar": 14, "lerobot": 1, "hdf5": 12}[target]
    new = {path.name for path in after.keys() - before.keys()}
    assert (PROGRESS in new) == (target == "lerobot")
    again = relabelled(capsys, mixed, out=tmp_path / "labels", bundle=bundle, write=(target,))
    assert (again["episodes"], again["written"]) == (found["episodes"], found["written"])


def test_a_copy_has_the_verdicts_at_its_episodes(tmp_path, recordings, bundle, capsys):
    out = tmp_path / "labels"
    relabelled(capsys, recordings, out=out, bundle=bundle, write=("hdf5",))
    copy = out / "hdf5" / str(recordings)[1:] / "day_3.hdf5"
    with h5py.File(copy) as file, h5py.File(recordings / "day_3.hdf5") as original:
        told = [dict(file[f"data/demo_{k}"].attrs) for k in range(3)]
        assert [one["robo_dialog_outcome"] for one in told] == ["FAILURE", "FAILURE", "SUCCESS"]
        assert told[2]["robo_dialog_probability"] == pytest.approx(1 / (1 + np.exp(-3)), abs=0.01)
        assert [bool(one["success"]) for one in told] == [False, False, True]
        assert (file["data/demo_1/obs/agentview_image"][:] == original["data/demo_1/obs/agentview_image"][:]).all()
        assert not [name for name in original["data/demo_1"].attrs if name.startswith("robo_dialog")]


def test_a_group_that_leads_to_another_file_is_not_written_to(tmp_path, bundle, capsys):
    whole = write_attempts(tmp_path / "whole.hdf5", [1.0])
    linked = write_attempts(tmp_path / "linked.hdf5", [1.0, 2.0])
    relabelled(capsys, linked, out=tmp_path / "labels", bundle=bundle)
    with h5py.File(linked, "r+") as file:
        del file["data/demo_1"]
        file["data/demo_1"] = h5py.ExternalLink(str(whole), "/data/demo_0")
    before = digests(tmp_path)
    with pytest.raises(RecordingError, match="is no group of this file"):
        write_hdf5(read_verdicts(tmp_path / "labels" / "labels.jsonl"), tmp_path / "copies")
    assert digests(tmp_path) == before


def test_below_another_folder_is_written_where_the_recordings_are_read_only(tmp_path, mixed, bundle, capsys):
    before = digests(mixed)
    write = ("sidecar", "lerobot", "hdf5")
    relabelled(capsys, mixed, out=tmp_path / "labels", bundle=bundle, write=write, write_out=tmp_path / "w")
    assert digests(mixed) == before
    assert len([path for path in (tmp_path / "w").rglob("*") if path.is_file()]) == 14 + 1 + 12


def test_recordings_that_cannot_take_a_verdict_are_told(tmp_path, mixed, bundle, capsys):
    found = relabelled(capsys, mixed, out=tmp_path / "labels", bundle=bundle, write=("lerobot",))
    assert len(found["not_written"]) == 13
    assert all("no LeRobot dataset; write sidecars instead" in problem for problem in found["not_written"])


# --- hindsight ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tasks(tmp_path):
    """The bundle adds one to the margin for every "nudge": `nudge nudge it` is done from -2 on."""
    write_attempts(tmp_path / "r" / "a.hdf5", [-1.0, (-1.0, -1.0), -4.0, 4.0])
    write_attempts(tmp_path / "r" / "b.hdf5", [-6.0], instruction="nudge nudge it.")
    return tmp_path / "r"


def test_failures_become_successes_of_something_else(tmp_path, tasks, bundle, capsys):
    found = relabelled(capsys, tasks, out=tmp_path / "labels", bundle=bundle, instructions="all")
    rows = lines(tmp_path / "labels" / "labels.jsonl")
    told = [[one["instruction"] for one in row["fulfilled"]] for row in rows]
    assert told == [["nudge nudge it"], [], [], ["nudge nudge it"], []], "the second was so from the beginning"
    assert rows[0]["outcome"] == "FAILURE"
    assert (
        rows[0]["fulfilled"][0]["before"]
        < rows[0]["fulfilled"][0]["threshold"]
        <= rows[0]["fulfilled"][0]["probability"]
    )
    assert found["hindsight"] == {"instructions": 2, "proposals": 2, "failures_that_did_something_else": 1}
    own = relabelled(capsys, tasks, out=tmp_path / "own", bundle=bundle)
    assert own["verdicts"] == found["verdicts"]
    assert own["hindsight"]["instructions"] == 0


def test_instructions_may_come_from_a_file(tmp_path, tasks, bundle, capsys):
    (tmp_path / "asked.txt").write_text("nudge nudge nudge nudge nudge it\n\nlift it\n")
    relabelled(capsys, tasks, out=tmp_path / "labels", bundle=bundle, instructions=str(tmp_path / "asked.txt"))
    rows = lines(tmp_path / "labels" / "labels.jsonl")
    assert [len(row["fulfilled"]) for row in rows] == [1, 0, 1, 1, 0]
    (tmp_path / "asked.txt").write_text("x" * 600)
    with pytest.raises(ConfigError, match="1 to 512 characters"):
        Relabel((tasks,), out=tmp_path / "b", bundle=bundle, instructions=str(tmp_path / "asked.txt")).run()


def test_a_frame_is_looked_at_once_however_many_instructions_are_asked(tmp_path):
    seen = []

    def counting(graph, **options):
        from robo_dialog.detect.session import OnnxSession

        session = OnnxSession(graph, **options)
        run = session.run
        session.run = lambda feed: seen.append(len(feed["pixel_values"])) or run(feed)
        return session

    indexed = bundles.write(tmp_path / "bundle", scorer_onnx=bundles.graph(indexed=True))
    detector = Detector.load(indexed, open_session=counting)
    first = detector.prepare(Request([encode_png(bundles.grey(99)), encode_png(bundles.grey(9))], "lift it"))
    seen.clear()
    verdicts = detector.judge([detector.reworded(first, " ".join(["nudge"] * k) + " it") for k in range(1, 9)])
    assert seen == [2]
    alone = [
        detector.verdict([bundles.grey(99), bundles.grey(9)], " ".join(["nudge"] * k) + " it") for k in range(1, 9)
    ]
    assert [one.probability for one in verdicts] == pytest.approx([one.probability for one in alone])
