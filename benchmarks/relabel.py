"""What relabelling costs: against decoding and the model alone, from 10^3 to 10^5 episodes, and in several processes.

    python benchmarks/relabel.py [--sizes 1000 10000 100000] [--write]

Data sets of many episodes are one small HDF5 file under many names, judged by a graph that costs nothing, so that what
is measured is everything but the model. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from record import record
from robo_dialog.detect.graph import SCORER
from robo_dialog.detect.session import runs_at_once
from robo_dialog.models import embedded_bundle
from robo_dialog.relabel import command
from robo_dialog.relabel.command import Relabel
from robo_dialog.relabel.judging import BATCH, Judge, Relabelling
from robo_episodes.episode import EpisodeWarning
from robo_episodes.reading_choice import ReadingChoice
from robo_episodes.selection import Selection
from robo_episodes.stages.choice import ExecutorChoice
from robo_episodes.stages.local import Local, cores
from robo_episodes.stages.processes import Processes
from robo_episodes.stages.reading import Source, shards
from robo_episodes.stages.stage import Shard
from robo_episodes.taken import TakenEpisode
from robo_episodes.workers.isolated import scan

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import bundles
from recording_files import write_robomimic

EPISODES = 50
"""In one file."""
TIME = "2026-01-01T00:00:00+00:00"
NOTES = {
    "share_of_limit": "episodes a second, over those of the slower of decoding and the model alone, all cores",
    "decode_per_s": "episodes of one camera, 96 x 96, from HDF5, all cores",
    "model_per_s": "the same episodes judged by `tiny`, all cores",
    "relabel_per_s": "both together",
    "rss_mb_1e3": "peak memory of the program at 10^3 episodes",
    "rss_mb_1e5": "the same at 10^5 episodes",
    "seconds_1e3": "10^3 episodes, all but the model, start of Python excluded",
    "seconds_1e4": "10^4 episodes",
    "seconds_1e5": "10^5 episodes",
    "cost_exponent": "slope of log seconds over log episodes",
    "bytes_a_row": "of labels.parquet",
    "two_worker_speedup": "shards a second of two workers, a core each, over those of one; `tiny`, after start-up",
    "ray_identical": "1: labels from a Ray cluster are the same bytes",
    "lost_rows": "after two workers were killed in mid-shard",
    "duplicate_rows": "likewise",
}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    sizes: tuple[int, ...] = (1000, 10_000, 100_000)
    """Numbers of episodes; multiples of 50."""
    episodes: int = 6000
    """Episodes that `tiny` judges; a multiple of 50. With few, it is the start of the workers that is measured."""
    ray: bool = True
    """Whether to compare with a Ray cluster on this machine."""
    write: bool = False
    """Write benchmarks/results/relabel.json and .md."""


def main(options: Options) -> None:
    command.now = lambda: TIME
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sizes = size_figures(work, options.sizes)  # first: a child's peak begins with what its parent holds
        figures = {**share_figures(work, options.episodes), **sizes}
        figures |= {"two_worker_speedup": speedup(work), **killed_figures(work)}
        if options.ray:
            figures["ray_identical"] = ray_identical(work)
    rounded = {key: round(float(value), 4) for key, value in figures.items()}
    Console().print(rounded)
    if options.write:
        record("relabel", rounded, NOTES)


def data_set(folder: Path, episodes: int) -> Path:
    """One file under so many names that there are as many episodes; made once."""
    random = np.random.default_rng(0)
    one = folder.parent / "one.hdf5"
    if not one.exists():
        frames = random.integers(0, 255, (EPISODES, 3, 96, 96, 3), dtype=np.uint8)
        frames = np.stack([np.sort(stack, axis=1) for stack in frames])  # as smooth as camera images
        lang = {"ep_meta": json.dumps({"lang": "lift the red cube"})}
        write_robomimic(one, {f"demo_{k}": {"frames": list(frames[k]), "attrs": lang} for k in range(EPISODES)})
    for number in range(episodes // EPISODES):
        target = folder / f"{number // 1000:03d}" / f"day_{number:06d}.hdf5"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(one)
    return folder


def stage_of(folder: Path, bundle: Path) -> tuple[Relabelling, list[Shard]]:
    reading = ReadingChoice()
    source = Source.of(reading.layouts(), Selection(), reading.limits())
    with source.crew(0) as crew:
        found = scan([folder], crew)
    stage = Relabelling(bundle, "", source, (), TIME)
    return stage, list(shards(found.recordings, stage.identity))


def share_figures(work: Path, episodes: int) -> dict[str, float]:
    """Decoding alone, the model alone, and both, on the same episodes and all cores."""
    from robo_dialog.detect.detector import Detector

    stage, cut = stage_of(data_set(work / "share", episodes), embedded_bundle())
    with ExitStack() as opened:
        crew = opened.enter_context(stage.source.crew(cores()))
        started = time.perf_counter()
        taken = [one for shard in cut for one in stage.source.episodes(shard.content, crew, compress=False)]
        decode = len(taken) / (time.perf_counter() - started)
    runs = runs_at_once(stage.bundle / SCORER, cores())
    judge = Judge(Detector.load(stage.bundle, threads=cores() // runs), (), TIME)
    model = len(taken) / judging_seconds(judge, taken, runs)
    with stage.open(cores()) as do:
        started = time.perf_counter()
        for shard in cut:
            do(shard.content)
        relabel = len(taken) / (time.perf_counter() - started)
    share = relabel / min(decode, model)
    return {"share_of_limit": share, "decode_per_s": decode, "model_per_s": model, "relabel_per_s": relabel}


def judging_seconds(judge: Judge, taken: list[TakenEpisode | EpisodeWarning], runs: int) -> float:
    """Seconds of the model alone, as many runs at once as relabelling has."""
    started = time.perf_counter()
    with ThreadPoolExecutor(runs) as judges:
        list(judges.map(judge.judged, [taken[start : start + BATCH] for start in range(0, len(taken), BATCH)]))
    return time.perf_counter() - started


MEASURED = """
import json, resource, sys, time
from pathlib import Path
from robo_dialog.relabel.command import Relabel
started = time.perf_counter()
Relabel((Path(sys.argv[1]),), out=Path(sys.argv[2]), bundle=Path(sys.argv[3]), json=True).run()
seconds = time.perf_counter() - started
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def size_figures(work: Path, sizes: tuple[int, ...]) -> dict[str, float]:
    """Time and memory of the whole command, each size in a program of its own."""
    bundle, figures, seconds = bundles.write(work / "bundle"), {}, []
    for size in sizes:
        folder, out = data_set(work / f"size_{size}", size), work / f"labels_{size}"
        arguments = [sys.executable, "-c", MEASURED, str(folder), str(out), str(bundle)]
        told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        took, megabytes = json.loads(told)
        name = f"1e{round(np.log10(size))}"
        figures |= {f"seconds_{name}": took, f"rss_mb_{name}": megabytes}
        figures["bytes_a_row"] = (out / "labels.parquet").stat().st_size / size
        seconds.append(took)
    if len(sizes) > 1:
        figures["cost_exponent"] = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    return figures


def speedup(work: Path) -> float:
    """Two workers against one, a core each, on shards that the model dominates."""
    folder = data_set(work / "speed", 40 * EPISODES)
    all_cores = sorted(os.sched_getaffinity(0))
    rates = []
    for workers in (1, 2):
        os.sched_setaffinity(0, all_cores[:workers])
        stage, cut = stage_of(folder, embedded_bundle())
        small = [Shard(f"{k}", one) for k, one in enumerate(single_recordings(cut))]
        results = Processes(workers).run(stage, small)
        for _ in range(6):  # both have loaded the model
            next(results)
        started = time.perf_counter()
        rates.append(sum(1 for _ in results) / (time.perf_counter() - started))
    os.sched_setaffinity(0, all_cores)
    return rates[1] / rates[0]


def single_recordings(cut: list[Shard]) -> Iterator[str]:
    """Shards of one recording each: many of equal size."""
    for shard in cut:
        told = json.loads(shard.content)
        for recording in told["recordings"]:
            yield json.dumps({**told, "recordings": [recording]})


def killed_figures(work: Path) -> dict[str, float]:
    """Rows of a run whose workers are killed, against those of a run in one process."""
    stage, cut = stage_of(data_set(work / "killed", 24 * EPISODES), work / "bundle")
    small = [Shard(f"{k}", one) for k, one in enumerate(single_recordings(cut))]
    whole = list(Local(cores()).run(stage, small))
    found = []
    for result in Processes(2).run(stage, small):
        found.append(result)
        if len(found) in (3, 9):
            multiprocessing.active_children()[0].kill()
    lost = len(small) - len(found) + sum(a != b for a, b in zip(whole, found, strict=False))
    return {"lost_rows": EPISODES * max(0, lost), "duplicate_rows": EPISODES * max(0, len(found) - len(small))}


def ray_identical(work: Path) -> float:
    """Whether labels from a Ray cluster are the same bytes as those from this process."""
    folder, files = data_set(work / "ray", 8 * EPISODES), []
    for name in ("local", "ray"):
        choice = ExecutorChoice("ray" if name == "ray" else "local", workers=2)
        Relabel((folder,), out=work / f"labels_{name}", bundle=work / "bundle", executor=choice, json=True).run()
        files.append((work / f"labels_{name}" / "labels.parquet").read_bytes())
    return float(files[0] == files[1])


if __name__ == "__main__":
    main(tyro.cli(Options))
