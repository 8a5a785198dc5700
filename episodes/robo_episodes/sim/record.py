"""Writes simulated episodes as a robomimic HDF5 file, one demo at a time, so that an interrupted run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from robo_episodes.errors import RecordingError
from robo_episodes.sim.episode import SimulatedEpisode
from robo_episodes.sim.render import CAMERAS
from robo_episodes.sim.state import State


def facts(state: State) -> dict[str, object]:
    """JSON-able form of a state, lists sorted."""
    return {
        "present": sorted(state.present),
        "on_plate": sorted(state.on_plate),
        "on_table": sorted(state.on_table),
        "on_top": sorted(map(list, state.on_top)),
        "held": state.held,
        "drawer": round(state.drawer, 4),
    }


def state_from_facts(content: dict[str, object]) -> State:
    """Inverse of `facts`."""
    return State(
        present=frozenset(content["present"]),  # type: ignore[call-overload]
        on_plate=frozenset(content["on_plate"]),  # type: ignore[call-overload]
        on_table=frozenset(content["on_table"]),  # type: ignore[call-overload]
        on_top=frozenset((a, b) for a, b in content["on_top"]),  # type: ignore[attr-defined]
        held=content["held"],  # type: ignore[arg-type]
        drawer=float(content["drawer"]),  # type: ignore[arg-type]
    )


def open_recording(path: Path, recipe: str) -> h5py.File:
    """Create the HDF5 file at `path`, or open it to continue.

    `recipe` names domain, split and seed; it is kept as `env_name` in the file.

    Raises:
        RecordingError: the file cannot be opened, or another recipe wrote it.
    """
    try:
        file = h5py.File(path, "a", libver="latest")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be continued ({error}); delete it or choose another --out") from error
    data = file.require_group("data")
    arguments = {"env_name": recipe, "type": 3, "env_kwargs": {"camera_names": list(CAMERAS)}}
    found = json.loads(data.attrs.get("env_args", json.dumps(arguments))).get("env_name")
    if found != recipe:
        file.close()
        raise RecordingError(f"{path}: was made by `{found}`, not by `{recipe}`; choose another --out")
    data.attrs["env_args"] = json.dumps(arguments)
    data.attrs.setdefault("total", 0)
    return file


def append(file: h5py.File, index: int, episode: SimulatedEpisode, domain: str) -> None:
    """Write one demo. Its `num_samples` comes last: a demo without it is incomplete and is written again.

    `obs` is the state before each action and `next_obs` after it, as robomimic has it. `facts` holds the simulator's
    state (JSON) of all T+1 moments, for evaluation only.
    """
    data = file["data"]
    name = f"demo_{index}"
    if name in data:
        del data[name]
    demo = data.create_group(name)
    later = episode.moments[1:]
    goal = episode.start.attempt.goal
    for camera, frames in episode.frames.items():
        stack = np.stack(frames)
        for group, images in (("obs", stack[:-1]), ("next_obs", stack[1:])):
            demo.create_dataset(
                f"{group}/{camera}_image", data=images, chunks=(1, *images.shape[1:]), compression="gzip"
            )
    reached = np.array([goal.reached(moment.state) for moment in later])
    demo["actions"] = np.stack([moment.action for moment in later]).astype(np.float32)
    demo["obs/gripper_pos"] = np.stack([moment.gripper for moment in episode.moments[:-1]]).astype(np.float32)
    demo["rewards"] = reached.astype(np.float32)
    demo["dones"] = np.arange(len(later)) == len(later) - 1
    demo["facts"] = [json.dumps(facts(moment.state)) for moment in episode.moments]
    demo.attrs["success"] = episode.success
    demo.attrs["ep_meta"] = json.dumps(
        {"lang": goal.text(), "family": goal.family, "domain": domain, "attempt": episode.start.attempt.intent}
    )
    demo.attrs["num_samples"] = len(later)
    data.attrs["total"] = int(sum(d.attrs.get("num_samples", 0) for d in data.values()))
    file.flush()


def finished(file: h5py.File, index: int) -> bool:
    """Whether demo `index` is in the file, complete."""
    return f"data/demo_{index}" in file and "num_samples" in file[f"data/demo_{index}"].attrs
