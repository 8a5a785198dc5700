"""Ingest as a stage: whoever reads, and however recordings are cut, the pool and the report are the same bytes."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from recording_files import demo, gray, write_robomimic, write_video
from robo_episodes.commands import Ingest
from robo_episodes.errors import ConfigError
from robo_episodes.pool import FramePool
from robo_episodes.stages import reading, taking
from robo_episodes.stages.choice import ExecutorChoice
from robo_episodes.stages.processes import Processes

PROCESSES = ExecutorChoice("process", workers=2)


@pytest.fixture
def recordings(tmp_path):
    """31 episodes in five files that can be read and one that cannot."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, count in (("a", 11), ("b", 3), ("c", 13)):
        demos = {f"demo_{index}": demo(20 * count + index, attrs={"success": index % 2 == 0}) for index in range(count)}
        write_robomimic(folder / f"{name}.hdf5", demos)
    for name in ("0", "1", "2", "3"):
        write_video(folder / f"{name}.mp4", [gray(step * 3 + int(name)) for step in range(5)], gop=3)
    (folder / "broken.mp4").write_bytes(b"broken")
    return folder


def ingested(folder, pool, executor=None, **options):
    assert Ingest((folder,), out=pool, executor=executor or ExecutorChoice(workers=1), json=True, **options).run() == 0
    return {file.name: file.read_bytes() for file in pool.iterdir() if not file.name.startswith(".")}


@pytest.mark.parametrize(("parts", "together"), [(1, 128), (1, 2), (2, 2), (5, 1)])
def test_pools_from_processes_are_those_from_here(recordings, tmp_path, monkeypatch, parts, together):
    monkeypatch.setattr(reading, "SHARD_BYTES", (recordings / "c.hdf5").stat().st_size // parts + 1)
    monkeypatch.setattr(reading, "SHARD_RECORDINGS", together)
    here = ingested(recordings, tmp_path / "pool", last_k=2, first=True)
    (tmp_path / "pool").rename(tmp_path / "kept")
    there = ingested(recordings, tmp_path / "pool", PROCESSES, last_k=2, first=True)
    assert there == here
    assert len(FramePool.open(tmp_path / "pool")) == 3 * 31
    assert "broken.mp4" in there["ingest.json"].decode()


def test_only_frames_that_the_pool_lacks_are_read(recordings, tmp_path, monkeypatch, capsys):
    ingested(recordings, tmp_path / "pool")
    sent = []
    received = taking.to_taken

    def counted(message):
        sent.append(len(message.blobs))
        return received(message)

    monkeypatch.setattr(taking, "to_taken", counted)
    demos = {f"demo_{index}": demo(900 + index) for index in range(4)}
    write_robomimic(recordings / "d.hdf5", demos)
    capsys.readouterr()
    ingested(recordings, tmp_path / "pool", PROCESSES)
    assert json.loads(capsys.readouterr().out)["added"] == 4
    assert sum(sent) == 4
    assert len(FramePool.open(tmp_path / "pool")) == 35


def test_a_worker_that_is_killed_costs_no_frame(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SHARD_RECORDINGS", 1)
    here = ingested(recordings, tmp_path / "pool")
    (tmp_path / "pool").rename(tmp_path / "kept")

    class Killing(Processes):
        def run(self, stage, shards):
            for number, result in enumerate(super().run(stage, shards)):
                if number == 1:
                    multiprocessing.active_children()[0].kill()
                yield result

    monkeypatch.setattr(ExecutorChoice, "open", lambda self: Killing(2))
    assert ingested(recordings, tmp_path / "pool", PROCESSES) == here


def test_a_dry_run_counts_the_same(recordings, tmp_path, capsys):
    for executor in (ExecutorChoice(), PROCESSES):
        assert Ingest((recordings,), out=tmp_path / "pool", executor=executor, dry_run=True, json=True).run() == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second
    assert first["added"] == 31
    assert not (tmp_path / "pool").exists()


def test_workers_below_zero_are_refused(recordings, tmp_path):
    with pytest.raises(ConfigError, match="--workers -1"):
        Ingest((recordings,), out=tmp_path / "pool", executor=ExecutorChoice(workers=-1)).run()
