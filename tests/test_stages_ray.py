"""Stages on a real Ray cluster of several nodes on this machine, with actors that are killed in mid-shard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

import ray
from ray.cluster_utils import Cluster

import bundles
from conftest import REPOSITORY
from relabel_files import lines, relabelled, small_shards, write_attempts
from robo_dialog.errors import ConfigError, RoboDialogError
from robo_episodes.commands import Ingest
from robo_episodes.stages.choice import ExecutorChoice
from robo_episodes.stages.ray_data import RayData
from stage_doubles import Doubling, numbered

__all__ = ["small_shards"]

MEMORY = 100 << 20
"""Bytes of the object store of a node."""
STARTS = 3


def started() -> Cluster:
    """Ray gives a node 30 seconds to start, which a busy machine may need; then it is begun anew."""
    nodes = {"object_store_memory": MEMORY, "include_dashboard": False}
    for attempt in range(STARTS):
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=0, **nodes)
            for _ in range(2):
                cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
            break
        except Exception:
            cluster.shutdown()
            if attempt == STARTS - 1:
                raise
    return cluster


@pytest.fixture(scope="module")
def address():
    """A cluster of three nodes, the first of which works on nothing; its workers can import what this process can."""
    with pytest.MonkeyPatch.context() as patched:
        here = [str(REPOSITORY), str(REPOSITORY / "episodes"), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, here)))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = started()
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()


def test_results_come_in_order_and_killed_actors_cost_none(tmp_path, address):
    numbers = range(12)
    found = RayData(2, address).run(Doubling(tmp_path, deadly=(0, 7)), numbered(*numbers))
    assert list(found) == [str(2 * number).encode() for number in numbers]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "7"]
    assert list(RayData(2, address).run(Doubling(tmp_path), [])) == []


def test_errors_of_a_stage_reach_the_program(tmp_path, address):
    with pytest.raises(RoboDialogError, match="-1: is not doubled"):
        list(RayData(2, address).run(Doubling(tmp_path), numbered(1, -1)))


def test_labels_are_the_same_bytes_as_in_this_process(tmp_path, capsys, small_shards, address):
    for number in range(9):
        write_attempts(tmp_path / "r" / f"{number}.hdf5", [-3.0 + number / 2, 1.0], "fs")
    bundle = bundles.write(tmp_path / "bundle")
    choices = {"local": ExecutorChoice(), "ray": ExecutorChoice("ray", workers=2, ray_address=address)}
    for name, choice in choices.items():
        relabelled(capsys, tmp_path / "r", out=tmp_path / name, bundle=bundle, executor=choice)
    for file in ("labels.parquet", "labels.jsonl", "summary.json"):
        assert (tmp_path / "ray" / file).read_bytes() == (tmp_path / "local" / file).read_bytes()
    assert len(lines(tmp_path / "ray" / "labels.jsonl")) == 18


def test_pools_are_the_same_bytes_as_from_this_process(tmp_path, small_shards, address):
    for number in range(7):
        write_attempts(tmp_path / "r" / f"{number}.hdf5", [-3.0 + number / 2, 1.0])
    contents = []
    for choice in (ExecutorChoice(), ExecutorChoice("ray", workers=2, ray_address=address)):
        assert Ingest((tmp_path / "r",), out=tmp_path / "pool", executor=choice, json=True).run() == 0
        contents.append({file.name: file.read_bytes() for file in (tmp_path / "pool").iterdir()})
        (tmp_path / "pool").rename(tmp_path / f"pool_{choice.executor}")
    assert contents[0] == contents[1]
    assert len(contents[0]) > 2


def test_a_cluster_that_is_not_there_is_told(monkeypatch):
    def refused(**options):
        raise ConnectionError("nobody listens at 127.0.0.1:1")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(ConfigError, match=r"--ray-address 127.0.0.1:1: no cluster there .*ray start"):
        next(RayData(1, "127.0.0.1:1").run(Doubling(Path()), numbered(1)))
