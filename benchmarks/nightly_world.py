"""A simulated lab over many nights: what drifts, what goes wrong, and labelled episodes to judge by."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from robo_episodes.sim.domains import DOMAINS, Domain
from robo_episodes.sim.episode import Split, Stream, simulate
from robo_episodes.sim.record import append, finished, open_recording
from robo_episodes.sim.render import Camera
from robo_episodes.sim.state import FAMILIES
from robo_episodes.sim.world import World

HOME = replace(DOMAINS["source"], name="home")
"""As `tiny` knows it."""
BUMPED = replace(HOME, name="bumped", azimuth=(18.0, 24.0), elevation=(-10.0, -7.0), distance=(1.06, 1.16))
DIM = replace(BUMPED, name="dim", light=(0.5, 0.62), warmth=(0.10, 0.16), gamma=(1.2, 1.3), noise=(6.0, 8.0))
REPAINTED = replace(
    BUMPED,
    name="repainted",
    tables=DOMAINS["target"].tables,
    plates=DOMAINS["target"].plates,
    hue_shift=(0.02, 0.04),
    object_saturation=(0.55, 0.78),
    object_value=(0.5, 0.8),
    light=(0.7, 0.8),
    warmth=(0.05, 0.1),
    gamma=(1.05, 1.15),
    noise=(4.0, 6.0),
)
DUSK = replace(REPAINTED, name="dusk", light=(0.6, 0.7), warmth=(0.08, 0.13), gamma=(1.1, 1.2), noise=(5.0, 7.0))
"""The first detector is right in 76 %. Under the light of `dim`, where it is right in 55 %, games teach nothing that
lasts: who is nearly blind cannot teach himself."""
Spoiled = Literal["", "garbage", "poisoned"]
SKILL = FAMILIES.index("place")
"""The lab's robot puts things on a plate: boundaries without labels want 80 outcomes of a family from which nothing was
learned, and six skills would want pools six times as large."""
STRUCK = (3, 8, 13, 15, 17)
"""Days whose nights are killed; kills that came too late are made up for later."""


@dataclass(frozen=True)
class Day:
    """What a day brings."""

    domain: Domain
    spoiled: Spoiled = ""
    kills_so_far: float = 0.0
    """Share of all kills that were due when the night after it is over."""


def calendar() -> list[Day]:
    """20 days: a camera bumped, a lens covered, less light, instructions mixed up, table and paint replaced, dusk."""
    days = [Day(HOME)] * 2 + [Day(BUMPED)] * 3 + [Day(BUMPED, "garbage")] + [Day(BUMPED)]
    days += [Day(DIM)] * 3 + [Day(DIM, "poisoned")] + [Day(DIM)]
    days += [Day(REPAINTED)] * 4 + [Day(DUSK)] * 4
    due = [sum(struck <= number for struck in STRUCK) / len(STRUCK) for number in range(len(days))]
    return [replace(day, kills_so_far=share) for day, share in zip(days, due, strict=True)]


def record(path: Path, day: Day, episodes: int, seed: int, split: Split) -> None:
    """Write the day's recording; a finished file is left as it is."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    world = World()
    camera, part = Camera(world), path.with_name(f"{path.name}.part")
    stream = Stream(day.domain, split, seed)
    with open_recording(part, f"{day.domain.name}/{split}/{seed}") as file:
        for index in range(episodes):
            if not finished(file, index):
                episode = simulate(world, camera, stream, index * len(FAMILIES) + SKILL, every=10**9)
                append(file, index, episode, day.domain.name)
        _spoil(file, day.spoiled, np.random.default_rng(seed))
    part.replace(path)


def _spoil(file: h5py.File, how: Spoiled, random: np.random.Generator) -> None:
    demos = [file["data"][name] for name in sorted(file["data"])]
    if how == "garbage":
        for demo in demos:
            for images in (one for name, one in demo["next_obs"].items() if name.endswith("_image")):
                images[...] = random.integers(0, 256, images.shape, np.uint8) if random.random() < 0.5 else 0
    if how == "poisoned":
        said = [json.loads(demo.attrs["ep_meta"])["lang"] for demo in demos]
        for demo, wrong in zip(demos, random.permutation(said), strict=True):
            demo.attrs["ep_meta"] = json.dumps(json.loads(demo.attrs["ep_meta"]) | {"lang": str(wrong)})
