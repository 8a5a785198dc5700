"""Models that change under load: nobody fails, no answer mixes two models, and memory stays that of one."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect import Detector, Request
from robo_dialog.detect.bundle import read_bundle, write_bundle
from robo_dialog.detect.calibration import CALIBRATION, parse_calibration
from robo_dialog.detect.store import ModelStore
from robo_dialog.models import embedded_bundle
from robo_dialog.v1 import model_admin_pb2 as admin_pb
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_dialog.v1.model_admin_pb2_grpc import ModelAdminServiceStub
from serving_load import Line, Tally, closed_loop, open_loop
from serving_ways import TASK, Running, images, memory_mb, ours, question, running

SWAPS = 50
MEMORY_SWAPS = 200
LAST = 10
"""Swaps of these after which memory is looked at."""
RETIRED_S = 0.5
"""The model before is freed after the answer that another one serves."""
LOAD = 0.3
"""Share of the capacity that is asked for."""
SAME = 1e-4
"""Rounding moves a probability by less."""
EVERY_S = 0.6
"""Seconds from one swap to the next."""


@dataclass(frozen=True)
class Models:
    """Two models that disagree on everything, and what each says of each image."""

    store: ModelStore
    versions: tuple[str, str]
    probabilities: dict[str, NDArray[np.float64]]
    """What each digest says of the images."""


def swaps(work: Path) -> dict[str, float]:
    """50 swaps while questions come by the clock; then 200 without, for the memory."""
    pictures = images()
    models = two_models(work / "swaps", pictures)
    with running(ours("--store", str(models.store.root)), work) as server:
        figures = asyncio.run(under_load(server, models, pictures))
        grown = asyncio.run(memory(server, models)) / figures["swap_memory_before_mb"]
    return {**figures, "swap_memory_ratio": grown}


def two_models(folder: Path, pictures: Sequence[bytes]) -> Models:
    """The embedded model, and one with another bias."""
    shutil.rmtree(folder, ignore_errors=True)
    content = read_bundle(embedded_bundle())
    calibration = parse_calibration(content.contents[CALIBRATION])
    altered = replace(calibration, bias=calibration.bias + 1)
    paths = (embedded_bundle(), folder / "other")
    write_bundle(paths[1], "tiny", content.manifest.lineage, {**content.contents, CALIBRATION: altered.encode()})
    store = ModelStore.create(folder / "store")
    first, second = (store.publish(path) for path in paths)
    store.promote(first)
    probabilities = {}
    for path in paths:
        detector = Detector.load(path, threads=1)
        verdicts = detector.verdicts([Request([picture], TASK) for picture in pictures])
        probabilities[detector.digest] = np.array([verdict.probability for verdict in verdicts])
    return Models(store, (first, second), probabilities)


async def under_load(server: Running, models: Models, pictures: Sequence[bytes]) -> dict[str, float]:
    """Latency with and without swaps in turn, and whether every answer is that of one model."""
    line = server.way.connect(server.address)
    asked = [question(picture) for picture in pictures]
    rate = LOAD * (await closed_loop(line, asked, concurrency=32, seconds=4.0)).rate
    before = memory_mb(server.process)
    still, moving = [], []
    for part in range(5):
        still.append(await open_loop(line, asked, rate=rate, seconds=EVERY_S * SWAPS / 5))
        moving.append(await with_swaps(server, models, line, asked, rate, first=part * SWAPS // 5))
    await line.close()
    failed = sum(len(tally.codes) - tally.count("OK") for tally in moving)
    return {
        "swap_failed": failed,
        "swap_mixed": sum(mixed(tally, models) for tally in moving),
        "swap_p99_ratio": p99(moving) / p99(still),
        "swap_questions": sum(len(tally.codes) for tally in moving),
        "swap_memory_before_mb": before,
    }


async def with_swaps(
    server: Running, models: Models, line: Line, asked: Sequence[bytes], rate: float, first: int
) -> Tally:
    """The same load while the model changes again and again."""
    load = asyncio.ensure_future(open_loop(line, asked, rate=rate, seconds=EVERY_S * SWAPS / 5))
    async with grpc.aio.insecure_channel(server.address) as channel:
        admin = ModelAdminServiceStub(channel)  # type: ignore[no-untyped-call]
        for number in range(first, first + SWAPS // 5):
            await asyncio.gather(swap(admin, models, number), asyncio.sleep(EVERY_S))
    return await load


async def swap(admin: ModelAdminServiceStub, models: Models, number: int) -> None:
    """Serve the one, then the other."""
    wanted = models.versions[(number + 1) % 2]
    answer = await admin.LoadModel(admin_pb.LoadModelRequest(version=wanted), timeout=600)
    if answer.serving != wanted:
        raise SystemExit(f"the server serves {answer.serving} instead of {wanted}")


def mixed(tally: Tally, models: Models) -> int:
    """Answers that say of no image what the model says whose digest they have."""
    bodies = [body for body, code in zip(tally.bodies, tally.codes, strict=True) if code == "OK"]
    answers = [pb.IsSuccessResponse.FromString(body) for body in bodies]
    off = [np.abs(models.probabilities[one.model_digest] - one.probability).min() for one in answers]
    return sum(float(least) > SAME for least in off)


def p99(tallies: Sequence[Tally]) -> float:
    """Median over parts, in milliseconds."""
    return statistics.median(tally.percentile_ms(99, "OK") for tally in tallies)


async def memory(server: Running, models: Models) -> float:
    """Megabytes after 200 more swaps, when the model before has been freed; median over the last ten."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        admin = ModelAdminServiceStub(channel)  # type: ignore[no-untyped-call]
        levels = []
        for number in range(MEMORY_SWAPS):
            await swap(admin, models, number)
            await asyncio.sleep(RETIRED_S if number >= MEMORY_SWAPS - LAST else 0.0)
            levels.append(memory_mb(server.process))
    return statistics.median(levels[-LAST:])
