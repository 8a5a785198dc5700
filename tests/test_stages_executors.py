"""Executors give the same results in the same order, and lose none where a worker dies."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bundles
from relabel_files import lines, relabelled, small_shards, write_attempts
from robo_dialog.errors import ConfigError, PoolError, RoboDialogError
from robo_episodes.stages.choice import ExecutorChoice
from robo_episodes.stages.local import Local
from robo_episodes.stages.processes import MAX_DEATHS, Processes
from robo_episodes.stages.stage import address
from stage_doubles import Doubling, numbered

__all__ = ["small_shards"]

NUMBERS = tuple(range(12))
DOUBLED = [str(2 * number).encode() for number in NUMBERS]


def test_results_come_in_the_order_of_the_shards(tmp_path):
    assert list(Local(2).run(Doubling(tmp_path), numbered(*NUMBERS))) == DOUBLED
    assert list(Processes(2).run(Doubling(tmp_path), numbered(*NUMBERS))) == DOUBLED
    assert list(Processes(2).run(Doubling(tmp_path), [])) == []


def test_workers_that_are_killed_in_mid_shard_cost_no_result(tmp_path):
    assert list(Processes(2).run(Doubling(tmp_path, deadly=(0, 5, 11)), numbered(*NUMBERS))) == DOUBLED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "11", "5"]


def test_a_shard_that_kills_every_worker_ends_with_the_reason(tmp_path):
    results = Processes(2).run(Doubling(tmp_path, deadly=(7,), always=True), numbered(*NUMBERS))
    found = []
    with pytest.raises(RoboDialogError, match=f"{MAX_DEATHS} workers died one after the other"):
        found.extend(results)
    assert found == DOUBLED[: len(found)]
    assert 5 <= len(found) <= 7


def test_errors_of_a_stage_reach_the_program(tmp_path):
    with pytest.raises(PoolError, match="-1: is not doubled"):
        list(Processes(2).run(Doubling(tmp_path), numbered(1, -1, 2)))


def test_shards_are_begun_only_as_workers_become_free(tmp_path):
    taken = []

    def endless():
        for shard in numbered(*range(1000)):
            taken.append(shard)
            yield shard

    results = Processes(1).run(Doubling(tmp_path), endless())
    assert [next(results) for _ in range(3)] == DOUBLED[:3]
    assert len(taken) < 10
    results.close()


def test_keys_tell_apart_what_differs_and_nothing_else():
    assert address("a", "bc") == address("a", "bc")
    assert len({address("a", "bc"), address("ab", "c"), address("abc"), address("a", "bc", "")}) == 4


def test_workers_below_zero_are_refused():
    with pytest.raises(ConfigError, match="--workers -1"):
        ExecutorChoice(workers=-1).open()


def test_without_ray_the_extra_is_named_and_the_others_need_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "robo_episodes.stages.ray_data", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'robo-dialog\[ray\]'"):
        ExecutorChoice("ray").open()
    code = (
        "import sys\nfrom robo_dialog.relabel import command, judging, folder\n"
        "from robo_episodes.stages.choice import ExecutorChoice\n"
        "ExecutorChoice('local').open(), ExecutorChoice('process').open()\n"
        "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_labels_are_the_same_bytes_in_this_process_and_in_others(tmp_path, capsys, small_shards):
    for number in range(9):
        write_attempts(tmp_path / "r" / f"{number}.hdf5", [-3.0 + number / 2, 1.0], "fs")
    bundle = bundles.write(tmp_path / "bundle")
    for name, choice in (("local", ExecutorChoice(workers=1)), ("process", ExecutorChoice("process", workers=2))):
        relabelled(capsys, tmp_path / "r", out=tmp_path / name, bundle=bundle, executor=choice)
    for file in ("labels.parquet", "labels.jsonl", "summary.json"):
        assert (tmp_path / "process" / file).read_bytes() == (tmp_path / "local" / file).read_bytes()
    parts = {path.name: path.read_bytes() for path in (tmp_path / "local" / "parts").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "process" / "parts").iterdir()} == parts
    assert len(parts) > 2
    assert len(lines(tmp_path / "process" / "labels.jsonl")) == 18
