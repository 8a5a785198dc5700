"""How fast the verdict server is, beside others, and how well it bears what goes wrong.

    python benchmarks/serving.py [MODE...] [--peers-python PATH] [--write]

Modes: `throughput` (with the peers), `idle`, `overload`, `swaps`, `drain`, `kill`, `ready`, `soak` (30 minutes), `fuzz`
(what benchmarks/fuzz_requests.py has counted). Each writes WORK/MODE.json; --write puts together what is there, of this
run and earlier ones. Peers live in a Python of their own, Debian's for PyTriton's sake:

    /usr/bin/python3 -m venv peers
    peers/bin/pip install nvidia-pytriton litserve bentoml "ray[serve]" onnxruntime opencv-python-headless tokenizers

All run the embedded model `tiny` on JPEG images of 224 x 224 pixels, all on this machine, the clients too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

import serving_speed
import serving_strain
import serving_swaps
from record import origin, record

Mode = Literal["throughput", "idle", "overload", "swaps", "drain", "kill", "ready", "soak", "fuzz"]
MODES: tuple[Mode, ...] = ("throughput", "idle", "overload", "swaps", "drain", "kill", "ready", "soak", "fuzz")
NOTES = {
    "throughput_vs_raw_ort": "32 questions open: answers a second over those of loops that only prepare and judge, "
    "one a core, with no client beside them",
    "throughput_vs_plain_loop": "the same over a single such loop whose runs have a thread for each core",
    "streams_vs_raw_ort": "throughput_vs_raw_ort when asked in streams",
    "cpu_vs_raw_ort": "processor time of a bare answer over that of the server: that ratio with clients elsewhere",
    "answers_per_s": "answers a second of ours then, client on the same cores",
    "vs_pytriton": "32 questions open: our answers a second over those of NVIDIA PyTriton, the same detector in it",
    "vs_litserve": "the same against LitServe",
    "vs_bentoml": "the same against BentoML",
    "vs_ray_serve": "the same against Ray Serve",
    "onnx_vs_eager": "the same against eager transformers behind plain gRPC",
    "added_p50_ms": "an idle server: median time of an answer less that of a bare call of the detector",
    "added_p99_ms": "the same of the 99th percentiles",
    "echo_added_p50_ms": "a call of a server in Python that judges nothing and answers at once: median time",
    "echo_added_p99_ms": "the same, 99th percentile",
    "pytriton_added_p50_ms": "the same of PyTriton",
    "pytriton_added_p99_ms": "the same of PyTriton",
    "overload_goodput": "asked twice as often as it can answer: good answers over those at 32 open questions",
    "overload_p99_ms": "99th percentile of the good answers then, from the moment at which each was due",
    "overload_refused": "share of questions that are refused then",
    "overload_failed": "questions that end in any other way",
    "overload_growth_mb": "memory that the server takes more after that",
    "refusal_p50_ms": "time to a refusal then, median",
    "refusal_p99_ms": "the same, 99th percentile",
    "ready_s": "from the start of the process to the first verdict, median",
    "swap_failed": "questions without a verdict while the model changed 50 times",
    "swap_mixed": "answers that are of none of the two models",
    "swap_p99_ratio": "99th percentile of latency while models change over that while none does",
    "swap_questions": "questions asked meanwhile",
    "swap_memory_before_mb": "memory with one model under load",
    "swap_memory_ratio": "memory after 200 more changes over that",
    "drain_lost": "SIGTERM with 1,000 questions in the server: how many of them get no verdict",
    "drain_in_flight": "questions in the server when the signal was sent",
    "drain_exit_code": "exit code of the process after that",
    "worker_recovery_s": "kill -9 of the process that runs the model, under load: until the next verdict, worst of 5",
    "worker_recovery_median_s": "the same, median",
    "worker_lost_each": "questions that one such kill costs",
    "soak_mb_per_10min": "slope of memory over the last two thirds of the soak",
    "soak_minutes": "how long that was",
    "soak_requests": "questions meanwhile: good and broken images, callers that give up",
    "soak_unexpected": "answers with another status than these deserve",
    "soak_memory_mb": "memory at the end",
    "fuzz_cases": "mutated requests without a violation: a death, a status that none deserves, a text that leaks",
    "fuzz_violations": "mutated requests with one",
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    modes: tyro.conf.Positional[tuple[Mode, ...]] = ()
    """All but the soak when left out."""
    peers_python: Path | None = None
    """Python in which the peers are installed; without it there is only eager transformers."""
    rounds: int = 7
    """Turns of every server, 4 seconds each."""
    questions: int = 1000
    """Asked of every idle server."""
    overload_seconds: float = 60.0
    soak_minutes: float = 30.0
    fuzz: Path = Path("runs/fuzz-requests")
    """Folder in which benchmarks/fuzz_requests.py worked."""
    work: Path = Path("runs/benchmark-serving")
    """Keeps the figures of each mode, and what the servers say."""
    write: bool = False
    """Write benchmarks/results/serving.json and .md."""


def main(options: Options) -> None:
    """Measure, then put together."""
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for mode in options.modes or (mode for mode in MODES if mode != "soak"):
        figures = {name: round(float(value), 4) for name, value in runner(mode, options, work)().items()}
        Console(stderr=True).print(mode, figures)
        (work / f"{mode}.json").write_text(json.dumps({**origin(), "figures": figures}, indent=1) + "\n")
    if options.write:
        write(work)


def runner(mode: Mode, options: Options, work: Path) -> Callable[[], dict[str, float]]:
    """What measures a mode."""
    python = None if options.peers_python is None else options.peers_python.absolute()
    runners: dict[Mode, Callable[[], dict[str, float]]] = {
        "throughput": lambda: serving_speed.throughput(work, python, options.rounds),
        "idle": lambda: serving_speed.idle(work, python, options.questions),
        "overload": lambda: serving_strain.overload(work, options.overload_seconds),
        "swaps": lambda: serving_swaps.swaps(work),
        "drain": lambda: serving_strain.drain(work),
        "kill": lambda: serving_strain.kill(work),
        "ready": lambda: serving_strain.ready(work),
        "soak": lambda: serving_strain.soak(work, options.soak_minutes),
        "fuzz": lambda: fuzzed(options.fuzz),
    }
    return runners[mode]


def fuzzed(folder: Path) -> dict[str, float]:
    """What the long search has counted."""
    outcomes = json.loads((folder / "state.json").read_text())["outcomes"]
    violations = outcomes.get("violation", 0)
    return {"fuzz_cases": sum(outcomes.values()) - violations, "fuzz_violations": violations}


def write(work: Path) -> None:
    """Put together the figures of all modes; those of another commit say so."""
    figures, notes, commit = {}, {}, origin()["commit"]
    for mode in MODES:
        if (path := work / f"{mode}.json").exists():
            found = json.loads(path.read_text())
            for name, value in found["figures"].items():
                note = NOTES.get(name) or half_load_note(name)
                figures[name] = value
                notes[name] = note if found["commit"] == commit else f"{note} (at {found['commit']})"
    record("serving", figures, notes)


def half_load_note(name: str) -> str:
    """Words for the many figures of one kind."""
    _, _, percent, _, way = name.split("_", 4)
    return f"{way}: {percent} of latency at half of the bare loop's rate, by the clock, milliseconds"


if __name__ == "__main__":
    main(tyro.cli(Options))
