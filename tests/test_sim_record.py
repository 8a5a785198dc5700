"""Simulated recordings: what is on disk is what happened; a run that was interrupted goes on."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("mujoco")

from robo_episodes.errors import RecordingError
from robo_episodes.sim.domains import DOMAINS
from robo_episodes.sim.episode import SimulatedEpisode, Start, draw
from robo_episodes.sim.record import append, facts, finished, open_recording, state_from_facts
from robo_episodes.sim.rollout import moments
from robo_episodes.sim.world import World


@pytest.fixture(scope="module")
def episode() -> SimulatedEpisode:
    """An episode whose frames are made up: recording needs no renderer."""
    start: Start = draw(DOMAINS["source"], np.random.default_rng(4), 0)
    world = World()
    world.reset(start.scene)
    seen = list(moments(world, start.attempt, every=40))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in seen]
    return SimulatedEpisode(start, seen, {"front": images, "side": images[::-1]})


def test_the_file_has_robomimic_keys_and_the_terminal_frame(tmp_path: Path, episode: SimulatedEpisode) -> None:
    with open_recording(tmp_path / "a.hdf5", "recipe") as file:
        append(file, 0, episode, "source")
        demo = file["data/demo_0"]
        steps = demo.attrs["num_samples"]
        assert steps == len(episode.moments) - 1 == len(demo["actions"]) == len(demo["rewards"])
        assert (demo["next_obs/front_image"][-1] == episode.frames["front"][-1]).all()
        assert (demo["obs/front_image"][0] == episode.frames["front"][0]).all()
        assert demo.attrs["success"] == episode.success == (demo["rewards"][-1] > 0)
        assert json.loads(demo.attrs["ep_meta"])["lang"] == episode.start.attempt.goal.text()
        assert file["data"].attrs["total"] == steps


def test_facts_survive_the_file(tmp_path: Path, episode: SimulatedEpisode) -> None:
    with open_recording(tmp_path / "a.hdf5", "recipe") as file:
        append(file, 0, episode, "source")
        lines = file["data/demo_0/facts"].asstr()[()]
    read = [state_from_facts(json.loads(line)) for line in lines]
    assert [facts(state) for state in read] == [facts(moment.state) for moment in episode.moments]
    assert read[-1].on_plate == episode.final.on_plate


def test_a_half_written_demo_is_written_again(tmp_path: Path, episode: SimulatedEpisode) -> None:
    path = tmp_path / "a.hdf5"
    with open_recording(path, "recipe") as file:
        append(file, 0, episode, "source")
        del file["data/demo_0"].attrs["num_samples"]
        assert not finished(file, 0)
    with open_recording(path, "recipe") as file:
        append(file, 0, episode, "source")
        assert finished(file, 0)


def test_a_file_of_another_recipe_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    open_recording(path, "source/0").close()
    with pytest.raises(RecordingError, match=r"a\.hdf5.*source/0.*source/1"):
        open_recording(path, "source/1")


def test_a_file_that_is_no_hdf5_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    path.write_bytes(b"not hdf5 at all")
    with pytest.raises(RecordingError, match="delete it or choose another"):
        open_recording(path, "recipe")
    assert path.read_bytes() == b"not hdf5 at all"


@pytest.mark.parametrize("domain", ["source", "target"])
def test_the_shipped_recordings_hold_both_outcomes(domain: str) -> None:
    with h5py.File(Path(__file__).parent / f"data/tabletop_{domain}.hdf5") as file:
        labels = {bool(demo.attrs["success"]) for demo in file["data"].values()}
    assert labels == {True, False}
