"""How fast: our server, others and a bare loop around ONNX Runtime, with the same model and the same preprocessing.

They take turns in an order that changes, so that what else the machine does hits all of them; figures are medians over
rounds of the ratio within a round.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from robo_dialog.detect import Detector, Request
from robo_dialog.detect.session import available_threads
from robo_dialog.models import embedded_bundle
from serving_load import RAMP_S, Tally, closed_loop, open_loop
from serving_ways import TASK, Running, all_running, cpu_s, echo, images, ours, ours_streamed, peers

CONCURRENCY = 32
BATCH = 8
WINDOW_S = 4.0
RAW, PLAIN = "bare loops", "bare loop"
OURS, STREAMS = "robo-dialog", "robo-dialog, streams"
SAME = 0.02
"""Probabilities of the same image may differ by this much: torch rounds otherwise than ONNX Runtime."""
RATIOS = {
    RAW: "throughput_vs_raw_ort",
    PLAIN: "throughput_vs_plain_loop",
    "pytriton": "vs_pytriton",
    "litserve": "vs_litserve",
    "bentoml": "vs_bentoml",
    "ray_serve": "vs_ray_serve",
    "eager": "onnx_vs_eager",
}
"""Figures that say how many times as many answers a second ours gives."""
IDLE_RATE = 20.0


@dataclass(frozen=True)
class Window:
    """What was counted in a few seconds."""

    rate: float
    """Answers a second."""
    cpu_ms: float
    """Processor time of the server an answer, the client's not included, in milliseconds."""


def throughput(work: Path, python: Path | None, rounds: int) -> dict[str, float]:
    """Answers a second with 32 questions open; then latency where questions come by the clock."""
    pictures = images()
    with all_running([ours(), ours_streamed(), *peers(python)], work) as servers:
        require_same_model(servers)
        cases: dict[str, Callable[[], Window]] = {
            RAW: bare(pictures, side_by_side=True),
            PLAIN: bare(pictures, side_by_side=False),
            **{one.way.name: partial(window, one, pictures) for one in servers},
        }
        windows: dict[str, list[Window]] = {name: [] for name in cases}
        delays: dict[str, list[Tally]] = {one.way.name: [] for one in servers}
        shuffle = np.random.default_rng(0)
        for _ in range(rounds):
            for name in shuffle.permutation(list(cases)):
                windows[name].append(cases[name]())
        rate = rate_of(windows[RAW]) / 2
        for _ in range(max(1, rounds // 3)):
            for place in shuffle.permutation(len(servers)):
                delays[servers[place].way.name].append(asyncio.run(paced(servers[place], pictures, rate)))
    show(windows, delays, rate)
    return {**rate_figures(windows), **delay_figures(delays)}


def require_same_model(servers: Sequence[Running]) -> None:
    """All must say the same of the same image."""
    for one in servers:
        if abs(one.probability - servers[0].probability) > SAME:
            raise SystemExit(f"{one.way.name} says {one.probability}, {servers[0].way.name} {servers[0].probability}")


def window(server: Running, pictures: Sequence[bytes]) -> Window:
    """Keep so many questions open."""

    async def ask() -> Tally:
        line = server.way.connect(server.address)
        messages = [server.way.message(picture) for picture in pictures]
        tally = await closed_loop(line, messages, concurrency=CONCURRENCY, seconds=WINDOW_S)
        await line.close()
        return tally

    before = cpu_s(server.process)
    tally = asyncio.run(ask())
    if tally.count("OK") < len(tally.codes):
        print(f"{server.way.name}: {set(tally.codes)}", file=sys.stderr)
    answered = tally.rate * (RAMP_S + WINDOW_S) + CONCURRENCY
    return Window(tally.rate, 1e3 * (cpu_s(server.process) - before) / answered)


async def paced(server: Running, pictures: Sequence[bytes], rate: float) -> Tally:
    """Questions by the clock."""
    line = server.way.connect(server.address)
    tally = await open_loop(line, [server.way.message(picture) for picture in pictures], rate=rate, seconds=WINDOW_S)
    await line.close()
    return tally


def bare(pictures: Sequence[bytes], *, side_by_side: bool) -> Callable[[], Window]:
    """A loop that prepares and judges batch after batch, and no server at all.

    Either one such loop a core, each with one thread a run, as our server works; or a single one whose runs have as
    many threads as there are cores, as one would write it.
    """
    cores = available_threads()
    loops = cores if side_by_side else 1
    detector = Detector.load(embedded_bundle(), threads=cores // loops)

    def repeat(until: float, counts: list[int], own: int) -> None:
        for first in itertools.count(step=BATCH):
            asked = [Request([pictures[(first + k) % len(pictures)]], TASK) for k in range(BATCH)]
            detector.judge([detector.prepare(one) for one in asked])
            if time.perf_counter() >= until:
                return
            counts[own] += BATCH

    def run() -> Window:
        counts, used, until = [0] * loops, time.process_time(), time.perf_counter() + WINDOW_S
        threads = [threading.Thread(target=repeat, args=(until, counts, own)) for own in range(loops)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Window(sum(counts) / WINDOW_S, 1e3 * (time.process_time() - used) / (sum(counts) + BATCH * loops))

    return run


def rate_figures(windows: dict[str, list[Window]]) -> dict[str, float]:
    """Medians of the ratios of each round."""
    own = np.array([one.rate for one in windows[OURS]])
    figures = {"answers_per_s": float(np.median(own)), "cpu_vs_raw_ort": cpu_of(windows[RAW]) / cpu_of(windows[OURS])}
    for name, figure in RATIOS.items():
        if name in windows:
            others = np.array([one.rate for one in windows[name]])
            figures[figure] = float(np.median(own / np.maximum(others, 0.1)))
    streamed = np.array([one.rate for one in windows[STREAMS]])
    figures["streams_vs_raw_ort"] = float(np.median(streamed / np.array([one.rate for one in windows[RAW]])))
    return figures


def rate_of(windows: Sequence[Window]) -> float:
    return float(np.median([one.rate for one in windows]))


def cpu_of(windows: Sequence[Window]) -> float:
    return float(np.median([one.cpu_ms for one in windows]))


def delay_figures(delays: dict[str, list[Tally]]) -> dict[str, float]:
    """Median over rounds, at a load that half of the raw loop's rate makes."""
    return {
        f"half_load_p{percent}_ms_{name.replace(', ', '_').replace('-', '_')}": delay(tallies, percent)
        for name, tallies in delays.items()
        for percent in (50, 99)
    }


def delay(tallies: Sequence[Tally], percent: float) -> float:
    return float(np.median([tally.percentile_ms(percent, "OK") for tally in tallies]))


def show(windows: dict[str, list[Window]], delays: dict[str, list[Tally]], rate: float) -> None:
    """A table for people."""
    table = Table("way", "answers/s", "share of raw", "CPU ms each", f"p50 ms at {rate:.0f}/s", "p99 ms", box=None)
    raw = np.array([one.rate for one in windows[RAW]])
    for name, values in sorted(windows.items(), key=lambda item: -rate_of(item[1])):
        share = float(np.median(np.array([one.rate for one in values]) / raw))
        p50, p99 = (f"{delay(delays[name], k):.1f}" if name in delays else "" for k in (50, 99))
        table.add_row(name, f"{rate_of(values):.0f}", f"{share:.3f}", f"{cpu_of(values):.2f}", p50, p99)
    Console(stderr=True).print(table)


def idle(work: Path, python: Path | None, questions: int) -> dict[str, float]:
    """What a server adds to one answer when nothing else is asked: questions by the clock, in turn with a bare call."""
    detector = Detector.load(embedded_bundle(), threads=1)
    ways = [ours(), echo(), *(way for way in peers(python) if way.name == "pytriton")]
    with all_running(ways, work) as servers:
        took = asyncio.run(in_turn(detector, servers, questions))
    bare = took.pop(RAW)
    figures = {}
    for name, values in took.items():
        prefix = "" if name == OURS else f"{name}_"
        for percent in (50, 99):
            added = np.percentile(values, percent) - (0 if name == "echo" else np.percentile(bare, percent))
            figures[f"{prefix}added_p{percent}_ms"] = 1e3 * float(added)
    return figures


async def in_turn(detector: Detector, servers: Sequence[Running], questions: int) -> dict[str, list[float]]:
    """Seconds of each way; one question at a time, each from the moment at which it was due."""
    lines = {server.way.name: server.way.connect(server.address) for server in servers}
    asked = {server.way.name: [server.way.message(picture) for picture in images()] for server in servers}
    pictures = images()
    took: dict[str, list[float]] = {name: [] for name in [RAW, *lines]}
    start = time.perf_counter() + 0.1
    for turn in range(questions * len(took)):
        name, number = list(took)[turn % len(took)], turn // len(took)
        due = start + turn / IDLE_RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        began = max(due, time.perf_counter())
        if name == RAW:
            detector.verdicts([Request([pictures[number % len(pictures)]], TASK)])
        else:
            await lines[name].ask(asked[name][number % len(pictures)])
        took[name].append(time.perf_counter() - began)
    for line in lines.values():
        await line.close()
    return {name: values[questions // 20 :] for name, values in took.items()}
