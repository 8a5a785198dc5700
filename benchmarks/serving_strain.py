"""What our server does when things are not as they should be: too much to do, an order to stop, a worker that dies."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serving_load import Answer, GrpcLine, Line, closed_loop, open_loop
from serving_ways import METHOD, Running, free_port, images, memory_mb, ours, question, running

CAPACITY_S = 8.0
DEADLINE_S = 2.0
"""Of the questions in overload."""
REFUSED = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
BURST = 1500
"""Some of them are answered before the last has arrived."""
PATIENCE_S = 600
"""How long these may take: it is counted what is lost, however slow the machine is."""
KILLS = 5
STARTS = 7


def ready(work: Path) -> dict[str, float]:
    """From the start of the process to the first verdict."""
    seconds = []
    for _ in range(STARTS):
        with running(ours(), work) as server:
            seconds.append(server.ready_s)
    return {"ready_s": statistics.median(seconds)}


def overload(work: Path, seconds: float) -> dict[str, float]:
    """Twice as many questions as can be answered; capacity is measured before and after."""
    asked = [question(picture) for picture in images()]
    with running(ours(), work) as server:
        return asyncio.run(_overload(server, asked, seconds))


async def _overload(server: Running, asked: Sequence[bytes], seconds: float) -> dict[str, float]:
    line = server.way.connect(server.address)
    before = (await closed_loop(line, asked, concurrency=32, seconds=CAPACITY_S)).rate
    memory = memory_mb(server.process)
    tally = await open_loop(line, asked, rate=2 * before, seconds=seconds, timeout_s=DEADLINE_S)
    grown = memory_mb(server.process) - memory
    after = (await closed_loop(line, asked, concurrency=32, seconds=CAPACITY_S)).rate
    await line.close()
    return {
        "overload_goodput": tally.rate / ((before + after) / 2),
        "overload_p99_ms": tally.percentile_ms(99, "OK"),
        "overload_refused": tally.count(*REFUSED) / len(tally.codes),
        "overload_failed": len(tally.codes) - tally.count("OK", *REFUSED),
        "refusal_p50_ms": tally.percentile_ms(50, "RESOURCE_EXHAUSTED"),
        "refusal_p99_ms": tally.percentile_ms(99, "RESOURCE_EXHAUSTED"),
        "overload_growth_mb": grown,
    }


def drain(work: Path) -> dict[str, float]:
    """SIGTERM while so many questions are in the server: how many get no verdict."""
    port = free_port()
    times = ("--grace", str(PATIENCE_S), "--deadline", str(PATIENCE_S))
    options = ("--max-in-flight", str(BURST), "--metrics-port", str(port), *times)
    asked = [question(picture) for picture in images()]
    with running(ours(*options), work) as server:
        codes = asyncio.run(_drain(server, asked, port))
        left = server.process.wait(PATIENCE_S)
    return {
        "drain_lost": len(codes) - codes.count("OK"),
        "drain_in_flight": len(codes),
        "drain_exit_code": float(left or 0),
    }


async def _drain(server: Running, asked: Sequence[bytes], port: int) -> list[str]:
    """What became of the questions that were in the server when the signal was sent."""
    lines = [server.way.connect(server.address) for _ in range(2)]  # one connection takes 1024 at a time
    asking = (lines[k % 2].ask(asked[k % len(asked)], PATIENCE_S) for k in range(BURST))
    tasks = [asyncio.ensure_future(one) for one in asking]
    in_work, answered = 0.0, 0
    while in_work + answered < BURST:
        answered = sum(task.done() for task in tasks)  # first: what is answered meanwhile must not count twice
        in_work = await asyncio.to_thread(_figure, port, "robodialog_requests_in_work")
    left = [task for task in tasks if not task.done()]
    server.process.send_signal(signal.SIGTERM)
    answers = await asyncio.gather(*left)
    for line in lines:
        await line.close()
    return [answer.code for answer in answers]


def _figure(port: int, name: str) -> float:
    """A figure of the server, as Prometheus reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
        lines = page.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def kill(work: Path) -> dict[str, float]:
    """kill -9 of the process that runs the model, under load: until the next verdict, and what it cost."""
    asked = [question(picture) for picture in images()]
    with running(ours("--worker", "process"), work) as server:
        seconds, lost = asyncio.run(_kill(server, asked))
    return {
        "worker_recovery_s": max(seconds),
        "worker_recovery_median_s": statistics.median(seconds),
        "worker_lost_each": lost,
    }


async def _kill(server: Running, asked: Sequence[bytes]) -> tuple[list[float], float]:
    line = server.way.connect(server.address)
    seconds, lost = [], 0
    for _ in range(KILLS):
        load = asyncio.ensure_future(closed_loop(line, asked, concurrency=8, seconds=3.0))
        await asyncio.sleep(1.5)
        (worker,) = server.process.children()
        worker.kill()
        began = time.perf_counter()
        while (await line.ask(asked[0])).code != "OK":
            pass
        seconds.append(time.perf_counter() - began)
        tally = await load
        lost += len(tally.codes) - tally.count("OK")
    await line.close()
    return seconds, lost / KILLS


@dataclass
class Samples:
    """Memory over time."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def slope_per_10min(self) -> float:
        """Of the straight line through all samples, in MB."""
        return float(np.polyfit(self.seconds, self.megabytes, 1)[0]) * 600


def soak(work: Path, minutes: float) -> dict[str, float]:
    """Half an hour of everything: good and broken images, callers that give up; memory after the first minutes."""
    with running(ours("--cache", "512"), work) as server:
        samples, tally = asyncio.run(_soak(server, minutes))
    return {
        "soak_mb_per_10min": samples.slope_per_10min(),
        "soak_minutes": minutes,
        "soak_requests": sum(tally.values()),
        "soak_unexpected": sum(count for code, count in tally.items() if code not in SOAK_CODES),
        "soak_memory_mb": samples.megabytes[-1],
    }


SOAK_CODES = ("OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED")
SOAK_WARM = 1 / 3
"""Share of the time in which memory may grow: what is remembered fills up."""


async def _soak(server: Running, minutes: float) -> tuple[Samples, dict[str, int]]:
    samples, tally = Samples(), dict[str, int]()
    pictures, line = images(), GrpcLine(server.address, METHOD)
    began = time.monotonic()
    until = began + 60 * minutes
    callers = [asyncio.ensure_future(_caller(line, pictures, number, until, tally)) for number in range(4)]
    while time.monotonic() < until:
        await asyncio.sleep(5)
        if (passed := time.monotonic() - began) > SOAK_WARM * 60 * minutes:
            samples.seconds.append(passed)
            samples.megabytes.append(memory_mb(server.process))
    await asyncio.gather(*callers)
    await line.close()
    return samples, tally


async def _caller(line: Line, pictures: Sequence[bytes], number: int, until: float, tally: dict[str, int]) -> None:
    """Ask one question after the other, none of them twice."""
    random = np.random.default_rng(number)
    while time.monotonic() < until:
        mark = b"\xff\xfe\x00\x0a" + random.bytes(8)  # a comment makes it another file of the same picture
        picture = pictures[random.integers(len(pictures))]
        kind = random.integers(20)
        data = picture[: len(picture) // 2] if kind == 0 else picture[:2] + mark + picture[2:]
        answer: Answer = await line.ask(question(data), timeout_s=0.004 if kind == 1 else 30.0)
        tally[answer.code] = tally.get(answer.code, 0) + 1
        await asyncio.sleep(0.01)
