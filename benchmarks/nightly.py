"""A simulated season: does a detector that learns every night beat one that never does, whatever happens meanwhile?

    python benchmarks/nightly.py [--episodes 80] [--games 1500] [--labelled 0]

Night by night and resumable: new episodes of a lab that drifts, the real command, a real server of the store and a
client that never stops asking. Some nights are killed again and again. Every day's champion is measured on held-out
labelled episodes of that day's lab, beside the first model.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from nightly_root import root_megabytes
from nightly_world import Day, calendar
from nightly_world import record as write_recording
from record import RESULTS, record
from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import DetectorError, RoboDialogError
from robo_dialog.models import embedded_bundle
from robo_dialog.nightly.night import nights
from robo_dialog.tune.evaluation import evaluate
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.tune.subjects import opened_pool

PROGRAM = (sys.executable, "-c", "from robo_dialog.cli import main; main()")
STAGES = ("ingest", "improve", "improve", "promote")
LONGEST_S = {"ingest": 5.0, "improve": 60.0, "promote": 8.0}
"""Seconds into a stage after which it is killed at the latest."""
NOTES = {
    "nights": "nights of the simulated season",
    "promotions": "nights that ended with a new champion",
    "refusals": "nights whose candidate, or whose episodes, were refused",
    "garbage_refused": "whether the night of blank and noisy frames was refused",
    "poison_published": "whether a candidate that learned from mixed-up instructions became champion",
    "alarms": "alarms of all nights",
    "worst_drop_points": "largest fall of a new champion below the one before, on the same held-out episodes",
    "final_gain_over_frozen_points": "balanced accuracy at the end, over the first model's, in the lab of the end",
    "mean_gain_over_frozen_points": "the same over all nights",
    "kill_points": "times that a night was killed with SIGKILL",
    "partial_publications": "times that the store then held a bundle that does not load, or a champion that is none",
    "client_requests": "requests of a client that asked through all nights",
    "client_errors": "of them, those without a verdict",
    "rollback_s": "seconds of `robo-dialog models rollback`, start of Python included",
    "server_root_mb": "contents of the server's image, CPU, in 10^6 bytes",
    "server_root_gpu_mb": "the same with onnxruntime-gpu",
}


@dataclass(frozen=True)
class Options:
    """How much is done."""

    episodes: int = 80
    """New episodes a night."""
    held_out: int = 150
    """Labelled episodes of each lab that measure, and do nothing else."""
    labelled: int = 0
    """Labelled episodes of each lab that the gate may see."""
    games: int = 1500
    steps: int = 80
    """Optimiser steps a night."""
    kills: int = 30
    root: bool = True
    """Make the server's image contents and weigh them: minutes, and Debian only."""
    work: Path = Path("runs/benchmark-nightly")
    write: bool = True
    """Write benchmarks/results/nightly.json and .md."""

    @property
    def store(self) -> Path:
        """Folder of the store."""
        return self.work / "models"


@dataclass
class Client:
    """Asks all the time, and counts."""

    requests: int = 0
    errors: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, address: str) -> None:
        """Ask until `stop` is set."""
        image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
        with DetectorClient(address, timeout_s=30) as detector:
            detector.wait_ready(120)
            while not self.stop.wait(0.2):
                self.requests += 1
                image[0, 0, 0] = self.requests % 256  # so that memory does not answer
                try:
                    detector.is_success([image], "put the red cube on the plate")
                except DetectorError:
                    self.errors += 1


def main(options: Options) -> None:
    """Go through the days that are still to come, then write."""
    options.work.mkdir(parents=True, exist_ok=True)
    store = ModelStore.create(options.store)
    if store.pointers().champion is None:
        store.promote(store.publish(embedded_bundle()))
    days = calendar(options.kills)
    results = options.work / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for number in range(len(done), len(days)):
        with served(options.store) as client:
            found = one_night(options, store, number, days[number])
        found |= {"client_requests": client.requests, "client_errors": client.errors}
        with results.open("a") as file:
            file.write(json.dumps(found) + "\n")
        done.append(found)
        Console(stderr=True).print(found)
    figures = figures_of(done)
    if store.pointers().previous is not None:
        figures["rollback_s"] = rollback_seconds(options.store)
    if options.root:
        figures |= root_megabytes(options.work)
    Console().print(figures)
    plot(done, (RESULTS if options.write else options.work) / "nightly.svg")
    if options.write:
        record("nightly", figures, NOTES)


def one_night(options: Options, store: ModelStore, number: int, day: Day) -> dict[str, object]:
    """Record, run the command (killing it as often as the calendar says), measure."""
    write_recording(options.work / "recordings" / f"day-{number:02d}.hdf5", day, options.episodes, number, "train")
    before = store.pointers().champion
    broken = sum(killed(options, store, day, number, k) for k in range(day.kills))
    started = time.monotonic()
    code = subprocess.run(command(options, day), check=False, stdout=subprocess.DEVNULL).returncode
    if code not in (0, 10):
        raise SystemExit(f"night {number}: ended with {code}")
    last = nights(options.work / "nights")[-1]
    held_out = labelled_file(options, day, "held-out", options.held_out, 1)
    now = store.path(str(store.pointers().champion))
    accuracy = {
        "loop": accuracy_of(now, held_out, options.work),
        "before": accuracy_of(store.path(str(before)), held_out, options.work),
        "frozen": accuracy_of(embedded_bundle(), held_out, options.work),
    }
    report = last.report or {}
    return {
        "day": number,
        "lab": day.domain.name,
        "spoiled": day.spoiled,
        "code": code,
        "outcome": report["outcome"],
        "usable": report["usable"],
        "alarms": [one["code"] for one in report["alarms"]],
        "figures": report["figures"],
        "seconds": round(time.monotonic() - started, 1),
        "kills": day.kills,
        "partial_publications": broken,
        **accuracy,
    }


def command(options: Options, day: Day) -> list[str]:
    """The nightly command, as an operator would give it."""
    config = {
        "store": str(options.store),
        "work": str(options.work / "nights"),
        "recordings": [str(options.work / "recordings")],
        "budget": {"games": options.games, "free_gigabytes": 0},
        "memory": {"window": 3},
        "options": {"improve": ["--tune.steps", str(options.steps)]},
    }
    if options.labelled:
        config["labelled"] = [str(labelled_file(options, day, "labelled", options.labelled, 2))]
    path = options.work / "nightly.yaml"
    path.write_text(json.dumps(config, indent=1))  # YAML takes JSON
    return [*PROGRAM, "nightly", "--config", str(path)]


def labelled_file(options: Options, day: Day, kind: str, episodes: int, seed: int) -> Path:
    """Clean labelled episodes of the day's lab."""
    path = options.work / kind / f"{day.domain.name}.hdf5"
    write_recording(path, Day(day.domain), episodes, seed, "evaluation")
    return path


def killed(options: Options, store: ModelStore, day: Day, number: int, k: int) -> bool:
    """Kill a night at a random moment of a stage; returns whether the store is not whole then."""
    draw = random.Random(f"{number}/{k}")  # noqa: S311 - no secret
    stage = STAGES[(number + k) % len(STAGES)]
    child = subprocess.Popen(command(options, day), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = options.work / "nights" / "nights" / f"{len(closed(options)) + 1:04d}" / "logs" / f"{stage}.log"
    while child.poll() is None and not log.exists():
        time.sleep(0.05)
    try:
        child.wait(draw.uniform(0, LONGEST_S[stage]))
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    child.wait()
    return not is_whole(store)


def closed(options: Options) -> list[Path]:
    """Folders of nights that came to their end."""
    return [night.path for night in nights(options.work / "nights") if night.report is not None]


def is_whole(store: ModelStore) -> bool:
    """Whether every version loads and the champion is one of them."""
    try:
        for model in store.versions():
            Detector.load(store.path(model.version))
        return store.pointers().champion in {model.version for model in store.versions()}
    except RoboDialogError:
        return False


def accuracy_of(bundle: Path, recording: Path, work: Path) -> float:
    """Balanced accuracy of a bundle on labelled episodes."""
    judge = BundleJudge(Detector.load(bundle))
    with opened_pool([recording]) as pool:
        views = views_of(pool)
        with looked(judge, pool, views, judge.calibration, work / "margins", bundle.name) as margins:
            episodes = judged_episodes(pool, views, judge.calibration, margins)
    return evaluate(episodes, draws=10).whole.balanced_accuracy


@contextmanager
def served(store: Path) -> Iterator[Client]:
    """A server of the store and a client that asks it."""
    words = ["serve", "--store", str(store), "--port", "0", "--json", "--log-level", "error"]
    client = Client()
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True) as server:
        address = f"127.0.0.1:{json.loads(server.stdout.readline())['port']}"  # type: ignore[union-attr]
        thread = threading.Thread(target=client.ask, args=(address,))
        thread.start()
        try:
            yield client
            time.sleep(3)  # the server follows within a second
        finally:
            client.stop.set()
            thread.join()
            server.terminate()


def rollback_seconds(store: Path) -> float:
    """One command; a second one puts everything back."""
    words = [*PROGRAM, "models", "rollback", str(store), "--json"]
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return round(seconds, 3)


def figures_of(done: list[dict]) -> dict[str, float]:
    """What the season comes to."""
    promoted = [one for one in done if one["outcome"] == "promoted"]
    gains = [100 * (one["loop"] - one["frozen"]) for one in done]
    return {
        "nights": len(done),
        "promotions": len(promoted),
        "refusals": sum(not one["usable"] for one in done),
        "garbage_refused": float(all(one["outcome"] == "refused" for one in done if one["spoiled"] == "garbage")),
        "poison_published": float(any(one["spoiled"] == "poisoned" for one in promoted)),
        "alarms": sum(len(one["alarms"]) for one in done),
        "worst_drop_points": max((100 * (one["before"] - one["loop"]) for one in done), default=0.0),
        "final_gain_over_frozen_points": gains[-1],
        "mean_gain_over_frozen_points": float(np.mean(gains)),
        "kill_points": sum(one["kills"] for one in done),
        "partial_publications": sum(one["partial_publications"] for one in done),
        "client_requests": sum(one["client_requests"] for one in done),
        "client_errors": sum(one["client_errors"] for one in done),
    }


def plot(done: list[dict], path: Path) -> None:
    """Balanced accuracy over the nights, with and without the loop."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="night", ylabel="balanced accuracy")
    axes.plot([one["loop"] for one in done], label="learns every night")
    axes.plot([one["frozen"] for one in done], label="never learns", linestyle="--")
    for number, one in enumerate(done):
        if one["outcome"] != "promoted":
            axes.axvspan(number - 0.4, number + 0.4, color="red", alpha=0.08)
        if number == 0 or done[number - 1]["lab"] != one["lab"]:
            axes.annotate(one["lab"], (number, axes.get_ylim()[0]), rotation=90, va="bottom", fontsize=8)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main(tyro.cli(Options))
