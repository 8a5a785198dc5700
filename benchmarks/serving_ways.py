"""Servers that can be asked: how each is started, how it wants to be asked, and where its answer stands."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import psutil

from robo_dialog.detect.protobuf_fields import fields
from robo_dialog.v1 import success_detector_pb2 as pb
from serving_load import GrpcLine, HttpLine, Line, StreamLine

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
TASK = "put the red cube on the plate"
METHOD = "/robo_dialog.v1.SuccessDetectorService/IsSuccess"
LONGEST_START_S = 240.0
LONGEST_STOP_S = 15.0
SIDE = 224
"""Side of the images that are asked about, in pixels."""
IMAGES = 64


@dataclass(frozen=True)
class Way:
    """One way to serve the model."""

    name: str
    command: Callable[[int], Sequence[str]]
    """Starts the server on a port."""
    connect: Callable[[str], Line]
    message: Callable[[bytes], bytes]
    """The message that asks about an image."""
    probability: Callable[[bytes], float]
    """The probability of success in an answer."""
    code: str = "OK"
    """What an honest question gets."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    way: Way
    address: str
    process: psutil.Process
    ready_s: float
    """From the start of the process to the first answer, in seconds."""
    probability: float
    """Of the first image."""


def ours(*options: str, name: str = "robo-dialog") -> Way:
    """The server as it is shipped, but that it remembers no verdicts: the same images come again and again."""
    program = [sys.executable, "-c", "from robo_dialog.cli import main; main()", "serve", "--cache", "0", *options]
    return Way(
        name=name,
        command=lambda port: [*program, "--port", str(port)],
        connect=lambda address: GrpcLine(address, METHOD),
        message=question,
        probability=lambda body: pb.IsSuccessResponse.FromString(body).probability,
    )


def ours_streamed() -> Way:
    """The same server, asked in streams as control loops do."""

    def message(image: bytes) -> bytes:
        request = pb.IsSuccessRequest.FromString(question(image))
        return pb.StreamIsSuccessRequest(request=request).SerializeToString()

    return replace(
        ours(name="robo-dialog, streams"),
        connect=lambda address: StreamLine(address, METHOD.replace("IsSuccess", "StreamIsSuccess")),
        message=message,
        probability=lambda body: pb.StreamIsSuccessResponse.FromString(body).response.probability,
    )


def question(image: bytes, task: str = TASK) -> bytes:
    """A request of ours."""
    return pb.IsSuccessRequest(frames=[pb.Frame(image=image)], instruction=task).SerializeToString()


def peers(python: Path | None) -> list[Way]:
    """The others: those in the Python of the peers, if there is one, and eager transformers in this one."""
    eager = Way(
        name="eager",
        command=lambda port: [sys.executable, _script("eager"), str(port)],
        connect=lambda address: GrpcLine(address, "/Eager/IsSuccess"),
        message=question,
        probability=lambda body: float(struct.unpack("<d", body)[0]),
    )
    if python is None:
        return [eager]
    triton = Way(
        name="pytriton",
        command=lambda port: [str(python), _script("pytriton"), str(port)],
        connect=lambda address: GrpcLine(address, "/inference.GRPCInferenceService/ModelInfer"),
        message=_triton_request,
        probability=_triton_probability,
    )
    return [
        triton,
        _over_http("litserve", python, "/predict", lambda one: one, lambda answer: answer["probability"]),
        _over_http("bentoml", python, "/judge", lambda one: {"questions": [one]}, lambda answer: answer[0]),
        _over_http("ray_serve", python, "/", lambda one: one, lambda answer: answer["probability"]),
        eager,
    ]


def echo() -> Way:
    """Answers at once and judges nothing: what a call in Python costs by itself."""
    return Way(
        name="echo",
        command=lambda port: [sys.executable, _script("echo"), str(port)],
        connect=lambda address: GrpcLine(address, "/Echo/IsSuccess"),
        message=question,
        probability=lambda body: float(struct.unpack("<d", body)[0]),
    )


def _script(name: str) -> str:
    return str(Path(__file__).parent / "peer_servers" / f"with_{name}.py")


def _over_http(
    name: str,
    python: Path,
    path: str,
    wrapped: Callable[[object], object],
    found: Callable[..., float],
) -> Way:
    def message(image: bytes) -> bytes:
        document = wrapped({"image": base64.b64encode(image).decode(), "instruction": TASK})
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    return Way(
        name=name,
        command=lambda port: [str(python), _script(name), str(port)],
        connect=HttpLine,
        message=message,
        probability=lambda body: float(found(json.loads(body))),
    )


def _triton_request(image: bytes) -> bytes:
    """inference.ModelInferRequest: 1 model_name, 5 inputs (1 name, 2 datatype, 3 shape), 7 raw_input_contents."""
    inputs = [
        _field(5, _field(1, name) + _field(2, b"BYTES") + _field(3, b"\1\1")) for name in (b"image", b"instruction")
    ]
    contents = [_field(7, struct.pack("<I", len(data)) + data) for data in (image, TASK.encode())]
    return b"".join([_field(1, b"tiny"), *inputs, *contents])


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field with a length."""
    length, size = b"", len(content)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _triton_probability(body: bytes) -> float:
    """inference.ModelInferResponse: 6 raw_output_contents."""
    (raw,) = [content for number, content in fields(memoryview(body)) if number == 6]
    return float(np.frombuffer(raw, np.float32)[0])  # type: ignore[arg-type]


def images(count: int = IMAGES, side: int = SIDE) -> list[bytes]:
    """JPEG images of soft noise, about as large as those of a camera."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8) for _ in range(count)]
    return [cv2.imencode(".jpg", cv2.resize(one, (side, side)))[1].tobytes() for one in noise]


@contextmanager
def running(way: Way, work: Path) -> Iterator[Running]:
    """A server, from its start to its end; what it says is in `work`.

    Raises:
        TimeoutError: it gives no answer.
    """
    port, began = free_port(), time.perf_counter()
    with (work / f"{way.name}.log").open("wb") as log:
        child = subprocess.Popen(list(way.command(port)), stdout=log, stderr=log, cwd=work, env=_environment())
    process = psutil.Process(child.pid)
    try:
        address = f"{HOST}:{port}"
        probability = asyncio.run(_first_answer(way, address, child, began))
        yield Running(way, address, process, time.perf_counter() - began, probability)
    finally:
        stop(child, process)


@contextmanager
def all_running(ways: Sequence[Way], work: Path) -> Iterator[list[Running]]:
    """All servers that start; the others are told about."""
    with ExitStack() as stack:
        servers = []
        for way in ways:
            try:
                servers.append(stack.enter_context(running(way, work)))
            except (TimeoutError, OSError) as error:
                print(f"{way.name}: does not start ({error}); see {work}/{way.name}.log", file=sys.stderr)
        yield servers


def stop(child: subprocess.Popen[bytes], process: psutil.Process) -> None:
    """End a server and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        tree = process.children(recursive=True)
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(LONGEST_STOP_S)
        for one in [process, *tree]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    child.wait()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def cpu_s(process: psutil.Process) -> float:
    """Processor time that a process and those below it have taken, in seconds."""
    times = [one.cpu_times() for one in [process, *process.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def memory_mb(process: psutil.Process) -> float:
    """Resident memory of a process and those below it."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


async def _first_answer(way: Way, address: str, child: subprocess.Popen[bytes], began: float) -> float:
    message = way.message(images(1)[0])
    while time.perf_counter() - began < LONGEST_START_S and child.poll() is None:
        line = way.connect(address)  # a new one each time: gRPC waits longer and longer before it connects again
        answer = await line.ask(message)
        await line.close()
        if answer.code == way.code:
            return way.probability(answer.body)
        await asyncio.sleep(0.01)
    raise TimeoutError("no answer" if child.poll() is None else f"exit code {child.poll()}")


def _environment() -> dict[str, str]:
    paths = [str(ROOT / folder) for folder in ("", "episodes", "server", "benchmarks/peer_servers")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RAY_AUTH_MODE": "disabled"}
