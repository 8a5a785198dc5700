"""`robo-dialog simulate`: labelled episodes from the MuJoCo tabletop, as a robomimic HDF5 file."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robo_episodes.errors import ConfigError

FRAME_EVERY = 14


@dataclass(frozen=True)
class Simulate:
    """Make labelled episodes with the MuJoCo tabletop: robomimic HDF5, success from the simulator's state.

    Running the same command again goes on where it was interrupted; a finished file is left as it is.
    """

    out: Path
    """HDF5 file to write."""
    domain: Literal["source", "target", "far"] = "source"
    """How the world looks: `source` (broad), `target` (another lab), `far` (further away)."""
    episodes: int = 60
    """How many episodes the file shall hold."""
    seed: int = 0
    """Episodes are a pure function of domain, split, seed and index."""
    split: Literal["train", "evaluation"] = "evaluation"
    """Streams of random numbers that never overlap; models are trained on `train` only."""
    every: int = FRAME_EVERY
    """Control steps (48 ms each) between recorded frames; the first and the last are always recorded."""
    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def run(self) -> int:
        """Write the file; returns 0."""
        if self.episodes < 1 or self.every < 1:
            raise ConfigError(f"--episodes is {self.episodes} and --every {self.every}; both must be at least 1")
        try:
            import mujoco  # noqa: F401
        except ModuleNotFoundError as error:
            raise ConfigError("simulating needs MuJoCo; install it with: pip install 'robo-dialog[sim]'") from error
        summary = self._write()
        if self.json:
            print(jsonlib.dumps(summary))
        else:
            _print(summary)
        return 0

    def _write(self) -> dict[str, object]:
        from rich.console import Console
        from rich.progress import track

        from robo_episodes.sim.domains import DOMAINS
        from robo_episodes.sim.episode import Stream, simulate
        from robo_episodes.sim.record import append, finished, open_recording
        from robo_episodes.sim.render import Camera
        from robo_episodes.sim.world import World

        stream = Stream(DOMAINS[self.domain], self.split, self.seed)
        part = self.out.with_name(self.out.name + ".part")
        source = self.out if self.out.exists() else part
        self.out.parent.mkdir(parents=True, exist_ok=True)
        world, labels = World(), []
        camera = Camera(world)
        with open_recording(
            source, f"robo-dialog-tabletop/{self.domain}/{self.split}/{self.seed}/every-{self.every}"
        ) as file:
            for index in track(range(self.episodes), "simulating", console=Console(stderr=True), transient=True):
                if not finished(file, index):
                    episode = simulate(world, camera, stream, index, every=self.every)
                    append(file, index, episode, self.domain)
                labels.append(bool(file[f"data/demo_{index}"].attrs["success"]))
        if source is part:
            part.replace(self.out)
        return {
            "out": str(self.out),
            "domain": self.domain,
            "episodes": self.episodes,
            "labels": {"success": sum(labels), "failure": len(labels) - sum(labels)},
        }


def _print(summary: dict[str, object]) -> None:
    from rich.console import Console

    labels = summary["labels"]
    Console().print(f"[bold]{summary['out']}[/]: {summary['episodes']} episodes of `{summary['domain']}`, {labels}")
