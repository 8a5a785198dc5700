"""A simulated season: does a detector that learns every night beat one that never does, whatever happens meanwhile?

    python benchmarks/nightly.py [--episodes 200] [--games 10000] [--labelled 0]

Night by night and resumable: new episodes of a lab that drifts, the real command, a real server of the store and a
robot that never stops asking. Some nights are killed again and again. Every day's champion is measured on held-out
labelled episodes of that day's lab, beside the first model; what is measured decides nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from nightly_figures import NOTES, figures_of, plot, table
from nightly_kills import closed, kills
from nightly_robot import PROGRAM, Robot, rollbacks, served
from nightly_root import root_megabytes
from nightly_world import Day, calendar
from nightly_world import record as write_recording
from record import RESULTS, record
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.store import ModelStore
from robo_dialog.models import embedded_bundle
from robo_dialog.nightly.night import nights
from robo_dialog.tune.evaluation import Judged
from robo_dialog.tune.evidence import Sides
from robo_dialog.tune.gate_checks import Limits, check_labelled
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_episodes.commands import Ingest
from robo_episodes.pool import FramePool

CAMERAS = ("front", "side", "wrist")


@dataclass(frozen=True)
class Options:
    """How much is done."""

    episodes: int = 200
    """New episodes a night."""
    held_out: int = 200
    """Labelled episodes of each lab that measure, and do nothing else."""
    labelled: int = 0
    """Labelled episodes of each lab that the gate may see."""
    games: int = 10_000
    improve: tuple[str, ...] = ("--tune.steps", "60", "--tune.batch", "16", "--gate-games", "400")
    """Words for the command `improve`: a night is to be short."""
    window: int = 3
    """Nights whose episodes are learned from together."""
    kills: int = 30
    nights: int = 20
    """So many at most; another run goes on with the next."""
    root: bool = True
    """Make the server's image contents and weigh them: minutes, and Debian only."""
    work: Path = Path("runs/benchmark-nightly")
    write: bool = True
    """Write benchmarks/results/nightly.json and .md."""

    @property
    def store(self) -> Path:
        """Folder of the store."""
        return self.work / "models"

    @property
    def loop(self) -> Path:
        """Folder of the nightly command."""
        return self.work / "nights"


def main(options: Options) -> None:
    """Go through the days that are still to come, then write."""
    options.work.mkdir(parents=True, exist_ok=True)
    store = ModelStore.create(options.store)
    if store.pointers().champion is None:
        store.promote(store.publish(embedded_bundle()))
    results = options.work / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    with served(options.store) as robot:
        for number, day in list(enumerate(calendar()))[len(done) : options.nights]:
            hits = sum(len(one["kills"]) for one in done)
            wanted = max(0, round(options.kills * day.kills_so_far) - hits)
            done.append(one_night(options, store, robot, number, day, wanted))
            with results.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            Console(stderr=True).print(done[-1])
        figures = figures_of(done) if done else {}
        if store.pointers().previous is not None:
            figures |= rollbacks(store, robot.address)
    if options.root:
        figures |= root_megabytes(options.work)
    Console().print(figures)
    if options.write:
        record("nightly", figures, NOTES)
    if options.write and done:
        with (RESULTS / "nightly.md").open("a") as file:
            file.write(table(done))
        plot(done, RESULTS / "nightly.svg")


def one_night(options: Options, store: ModelStore, robot: Robot, number: int, day: Day, wanted: int) -> dict[str, Any]:
    """Record, run the command after killing it `wanted` times, measure."""
    write_recording(options.work / "recordings" / f"day-{number:02d}.hdf5", day, options.episodes, number, "train")
    command, asked = configured(options, robot, day), (robot.requests, len(robot.errors))
    hits = kills(command, options.loop, store, number + 1, wanted) if wanted else []
    started = time.monotonic()
    while closed(options.loop) <= number:  # else it was cut off between its end and its measurement
        code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        if code not in (0, 10):
            raise SystemExit(f"night {number + 1}: ended with {code}")
    seconds = time.monotonic() - started
    report = dict(nights(options.loop)[number].report or {})
    return {
        "day": number,
        "lab": day.domain.name,
        "spoiled": day.spoiled,
        **{key: report[key] for key in ("outcome", "reason", "usable", "figures")},
        "alarms": [one["code"] for one in report["alarms"]],
        "seconds": round(seconds, 1),
        "kills": [hit.as_json() for hit in hits],
        "client": robot.since(*asked),
        **measured(options, store, day, report["champion_before"], report["champion"]),
    }


def configured(options: Options, robot: Robot, day: Day) -> list[str]:
    """The nightly command, as an operator would give it."""
    config = {
        "store": str(options.store),
        "work": str(options.loop),
        "recordings": [str(options.work / "recordings")],
        "budget": {"games": options.games, "free_gigabytes": 0},
        "memory": {"window": options.window, "bundles": 8},
        "server": {"address": robot.address},
        "options": {
            "ingest": ["--cameras", *CAMERAS],
            "improve": options.improve,
            "promote": ["--most-games", "400"],
        },
    }
    if options.labelled:
        config["labelled"] = [str(labelled_pool(options, day, "labelled", options.labelled, seed=2))]
    path = options.work / "nightly.yaml"
    path.write_text(json.dumps(config, indent=1))  # YAML takes JSON
    return [*PROGRAM, "nightly", "--config", str(path)]


def labelled_pool(options: Options, day: Day, kind: str, episodes: int, seed: int) -> Path:
    """Clean labelled episodes of the day's lab, in a frame pool."""
    recording = options.work / kind / f"{day.domain.name}.hdf5"
    pool = recording.with_suffix("")
    if not pool.exists():
        write_recording(recording, Day(day.domain), episodes, seed, "evaluation")
        part = pool.with_suffix(".part")
        with redirect_stdout(sys.stderr):
            Ingest((recording,), out=part, cameras=CAMERAS).run()
        part.replace(pool)
    return pool


def measured(options: Options, store: ModelStore, day: Day, before: str, now: str) -> dict[str, Any]:
    """Balanced accuracy of the champion, of the one before and of the first, and how the first two differ."""
    pool = FramePool.open(labelled_pool(options, day, "held-out", options.held_out, seed=1))
    first, last, new = (
        judged_by(path, pool, options.work / "margins")
        for path in (embedded_bundle(), store.path(before), store.path(now))
    )
    change, gain = compared(new, last), compared(new, first)
    return {"loop": gain["candidate"], "before": change["champion"], "frozen": gain["champion"], "change": change}


def judged_by(bundle: Path, pool: FramePool, margins: Path) -> list[Judged]:
    """What a bundle says of labelled episodes."""
    judge, views = BundleJudge(Detector.load(bundle)), replace(views_of(pool), beginnings={})
    with looked(judge, pool, views, judge.calibration, margins, bundle.name) as known:
        return judged_episodes(pool, views, judge.calibration, known)


def compared(new: list[Judged], old: list[Judged]) -> dict[str, float]:
    """Balanced accuracy of both, and their difference with its 95 % interval over episodes."""
    return dict(check_labelled(Sides(new, old), Limits())[0].figures)


if __name__ == "__main__":
    main(tyro.cli(Options))
