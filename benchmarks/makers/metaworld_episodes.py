"""Attempts at one Meta-World task by its scripted policy: a robomimic HDF5 file of first and final frames, labelled.

    python metaworld_episodes.py drawer-open-v3 "open the drawer" --parts learned=40 judged=20 --out recordings

Every scene is attempted twice and gives four episodes. The undisturbed attempt gives `success`, its end; `near_miss`,
cut off when most of the way was done; and `cut`, cut off long before. In the `disturbed` one the policy takes the
object to be a few centimetres beside where it is. An episode is labelled by what the simulator says of its last step,
whatever was meant. Parts share no scene; each is a file. One that is not finished is gone on with.

Run as a program of its own, so that it may have an environment of its own: Meta-World, NumPy and h5py are all it needs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

RENDERED, SIZE = 300, 96
"""Pixels of the side of a rendered picture, and of the frame that is made of a part of it, twice as fine."""
CAMERAS = {"corner": (32, 58), "corner3": (94, 36), "topview": (0, 54)}
"""Row and column at which that part begins: the table before the robot, the same for all tasks."""
UNSEEN = ("pedestal", "right_arm_base_link", "right_l0", "head")
"""Bodies that are in none of these parts; drawing them would take a third of the time."""
UPSIDE_DOWN = frozenset({"corner", "corner3"})
"""Cameras that Meta-World has mounted so."""
ATTEMPTS = ("success", "near_miss", "cut", "disturbed")
"""What an episode is called in `attempt` of its `ep_meta`; robo-dialog counts a failure called `near_miss` as one."""
LONGEST = 220
"""Steps after which an attempt that has not succeeded is given up; nearly all scripted ones need fewer."""
SCENES_OF_A_SEED = 50
"""Scenes that Meta-World draws for one seed of a task."""
ALMOST = (0.6, 0.95)
"""What share of the way to the success is done in a near miss."""
BARELY = 0.35
"""The largest share of it that is done in a failure by cutting off."""
SHORTEST = 0.003
"""A way, in metres, that tells what share of it is done."""
ASIDE = (0.05, 0.11)
"""How far beside itself the object seems to be in a disturbed attempt, in metres."""


class Policy(Protocol):
    """A scripted policy of Meta-World."""

    def get_action(self, obs: Floats) -> Floats:
        """Displacement of the hand and effort of the gripper (4,), for an observation (39,)."""
        ...


@dataclass(frozen=True)
class Step:
    """What was so after a step of an attempt."""

    state: Floats
    """The simulator's whole state."""
    success: bool
    hand: Floats
    """(3,) in metres."""
    thing: Floats
    """(3,) of the object that the task is about."""


def first_success(steps: Sequence[Step]) -> int | None:
    """Index of the first step at which the task is fulfilled."""
    return next((place for place, step in enumerate(steps) if step.success), None)


def done_of(steps: Sequence[Step], step: Step) -> float:
    """What share of its way a thing has made, along the straight line from the beginning of an attempt to its success.

    Args:
        steps: of the attempt; where it does not succeed, its end takes the place of the success.
        step: of this attempt, or of another one at the same scene.
    """
    end = first_success(steps)
    way = steps[-1 if end is None else end].thing - steps[0].thing
    length = float(way @ way)
    return float((step.thing - steps[0].thing) @ way) / length if length > SHORTEST**2 else 0.0


def near_miss_at(steps: Sequence[Step], rng: np.random.Generator) -> int:
    """Where to cut off an attempt that succeeds, though not at once, so that it is a near miss.

    Where the thing hardly moves, a few steps before the success.
    """
    end = first_success(steps) or len(steps)
    late = range(end // 2, end)
    fitting = [place for place in late if ALMOST[0] <= done_of(steps, steps[place]) <= ALMOST[1]]
    return _drawn(fitting or range(max(0, end - 6), max(1, end - 2)), rng)


def cut_at(steps: Sequence[Step], rng: np.random.Generator) -> int:
    """Where to cut off an attempt that succeeds, though not at once, so that it fails clearly."""
    end = first_success(steps) or len(steps)
    early = range(end // 5, max(end // 5 + 1, 3 * end // 5))
    return _drawn([place for place in early if done_of(steps, steps[place]) <= BARELY] or early, rng)


def _drawn(places: Sequence[int], rng: np.random.Generator) -> int:
    return places[int(rng.integers(len(places)))]


def outcomes(plain: Sequence[Step], disturbed: Sequence[Step], rng: np.random.Generator) -> dict[str, Step]:
    """The last step of every episode that two attempts at a scene give; fewer if the undisturbed one fails."""
    lasting = [step for step in plain if step.success]  # what springs back was done, and is filmed while it was
    ends = {"disturbed": disturbed[-1], "success": (lasting or plain)[-1]}
    if first_success(plain):
        ends |= {"near_miss": plain[near_miss_at(plain, rng)], "cut": plain[cut_at(plain, rng)]}
    return {name: ends[name] for name in ATTEMPTS if name in ends}


class Stage:
    """One task of Meta-World with its scripted policy and cameras.

    Args:
        task: as Meta-World names it, "drawer-open-v3".
        seed: of its scenes.
        scenes: how many there shall be.
    """

    def __init__(self, task: str, seed: int, scenes: int) -> None:
        import mujoco
        from metaworld.policies import ENV_POLICY_MAP

        import metaworld

        self._mujoco = mujoco
        drawn = [metaworld.MT1(task, seed=1000 * seed + part) for part in range(-(-scenes // SCENES_OF_A_SEED))]
        self._scenes = [scene for one in drawn for scene in one.train_tasks]
        self._env: Any = drawn[0].train_classes[task]()
        self._env.model.vis.quality.offsamples = 0  # a finer picture made smaller takes half of the time
        for body in UNSEEN:
            self._env.model.geom_rgba[self._env.model.geom_bodyid == self._env.model.body(body).id, 3] = 0
        self._policy: Policy = ENV_POLICY_MAP[task]()
        self._renderer = mujoco.Renderer(self._env.model, RENDERED, RENDERED)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = 0

    def attempt(self, scene: int, aside: Floats, after: int, longest: int = LONGEST) -> list[Step]:
        """Run the policy from the beginning of a scene: the state before the first step, and after every one.

        Args:
            scene: number of it.
            aside: (3,) metres by which the policy takes the object to be elsewhere.
            after: steps after the success.
            longest: steps at most.
        """
        self._env.set_task(self._scenes[scene])
        obs, _ = self._env.reset()
        steps: list[Step] = []
        done = 0
        while len(steps) <= longest and done <= after:
            seen = obs.copy()
            seen[4:7] += aside
            obs, _, _, _, info = self._env.step(np.clip(self._policy.get_action(seen), -1, 1))
            steps.append(self._noted(obs, info))
            done += steps[-1].success
        return steps

    def _noted(self, obs: Floats, info: Mapping[str, float]) -> Step:
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(self._mujoco.mj_stateSize(self._env.model, kind))
        self._mujoco.mj_getState(self._env.model, self._env.data, state, kind)
        return Step(state, bool(info["success"]), obs[:3].copy(), obs[4:7].copy())

    def shoot(self, step: Step) -> dict[str, Image]:
        """A frame (SIZE, SIZE, 3) of every camera; of the scene that was attempted last."""
        model, data = self._env.model, self._env.data
        self._mujoco.mj_setState(model, data, step.state, self._mujoco.mjtState.mjSTATE_INTEGRATION)
        self._mujoco.mj_forward(model, data)
        frames = {}
        for camera, (row, column) in CAMERAS.items():
            self._renderer.update_scene(data, camera=camera)
            part = self._renderer.render()[row : row + 2 * SIZE, column : column + 2 * SIZE]
            frame = np.rint(part.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))).astype(np.uint8)
            frames[camera] = frame[::-1, ::-1] if camera in UPSIDE_DOWN else frame
        return frames


def facts(plain: Sequence[Step], step: Step) -> dict[str, float]:
    """What questions about an outcome can be answered by; lengths in metres."""
    reach = step.hand - step.thing
    found = {
        "done": done_of(plain, step),
        "beside": float(np.linalg.norm(reach[:2])),
        "above": float(reach[2]),
    }
    return {name: round(value, 4) for name, value in found.items()}


def record(stage: Stage, file: h5py.File, scene: int, told: Mapping[str, object], seed: int) -> None:
    """Attempt a scene twice and write its episodes."""
    rng = np.random.default_rng([seed, scene])
    angle, far, after = rng.uniform(0, 2 * np.pi), rng.uniform(*ASIDE), int(rng.integers(3, 20))
    plain = stage.attempt(scene, np.zeros(3), after)
    disturbed = stage.attempt(scene, far * np.array([np.cos(angle), np.sin(angle), 0.0]), after, len(plain))
    first = stage.shoot(plain[0])
    for name, step in outcomes(plain, disturbed, rng).items():
        meta = {**told, "scene": scene, "attempt": name, "success": step.success, **facts(plain, step)}
        write(file, f"data/demo_{len(ATTEMPTS) * scene + ATTEMPTS.index(name)}", meta, (first, stage.shoot(step)))
    file.attrs[f"scene_{scene}"] = True


def write(file: h5py.File, name: str, meta: Mapping[str, object], frames: tuple[Mapping[str, Image], ...]) -> None:
    """One episode: its first frames and its final ones."""
    if name in file:
        del file[name]
    demo = file.create_group(name)
    for group, images in zip(("obs", "next_obs"), frames, strict=True):
        for camera, image in images.items():
            demo.create_dataset(f"{group}/{camera}_image", data=image[None], compression="gzip")
    demo.attrs["success"] = meta["success"]
    demo.attrs["ep_meta"] = json.dumps({key: value for key, value in meta.items() if key != "success"})
    demo.attrs["num_samples"] = 1


def main() -> None:
    """Write what is missing of the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("instruction")
    parser.add_argument("--parts", nargs="+", required=True, metavar="NAME=SCENES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="gets a folder for each part")
    options = parser.parse_args()
    sizes = {name: int(scenes) for name, _, scenes in (part.partition("=") for part in options.parts)}
    files = {name: options.out / name / f"{options.task}.hdf5" for name in sizes}
    if all(file.exists() for file in files.values()):
        return
    stage = Stage(options.task, options.seed, sum(sizes.values()))
    told = {"lang": options.instruction, "task": options.task}
    first = 0
    for name, file in files.items():
        if not file.exists():
            fill(stage, file, range(first, first + sizes[name]), told, options.seed)
        first += sizes[name]


def fill(stage: Stage, path: Path, scenes: range, told: Mapping[str, object], seed: int) -> None:
    """Write one file."""
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(part, "a") as file:
        arguments = {"env_name": f"Meta-World/{told['task']}/{seed}", "type": 3, "env_kwargs": {}}
        file.require_group("data").attrs["env_args"] = json.dumps(arguments)
        for scene in scenes:
            if f"scene_{scene}" not in file.attrs:
                record(stage, file, scene, told, seed)
                file.flush()
    part.replace(path)


if __name__ == "__main__":
    main()
