"""Asks a server as often as it is told to, and notes when the answers come.

Messages are made before and answers are taken apart afterwards: what the client costs is small, and much the same for
every server. `closed_loop` keeps so many questions open; `open_loop` asks by the clock, whatever the server does, and
counts from the moment at which a question was due.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import numpy as np

LONGEST_S = 60.0
"""No answer is waited for any longer."""
RAMP_S = 0.5
"""What comes in the first moments of a closed loop does not count."""


RESPONSE = b"\x0a"
"""How a StreamIsSuccessResponse begins that holds a response and no failure."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: str
    """`OK`, or the status by its name or number."""
    body: bytes = b""


class Line(Protocol):
    """A connection to a server, over which several questions may be open."""

    async def ask(self, message: bytes, timeout_s: float = LONGEST_S) -> Answer:
        """Send a whole message and wait for the answer."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class GrpcLine:
    """Calls of one method; messages are protobuf, already encoded."""

    def __init__(self, address: str, method: str) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._call = self._channel.unary_unary(method)

    async def ask(self, message: bytes, timeout_s: float = LONGEST_S) -> Answer:
        """One call."""
        try:
            return Answer("OK", await self._call(message, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            return Answer(error.code().name, str(error.details()).encode())

    async def close(self) -> None:
        """End the channel."""
        await self._channel.close()


class StreamLine:
    """Streams of one method, as many as there are open questions, each with one question at a time."""

    def __init__(self, address: str, method: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._open = self._channel.stream_stream(method)
        self._idle: list[grpc.aio.StreamStreamCall] = []

    async def ask(self, message: bytes, timeout_s: float = LONGEST_S) -> Answer:
        """One message of a stream, which itself has no end."""
        call = self._idle.pop() if self._idle else self._open()
        try:
            async with asyncio.timeout(timeout_s):
                await call.write(message)
                body = await call.read()
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            return Answer(type(error).__name__)
        self._idle.append(call)
        return Answer("OK" if body.startswith(RESPONSE) else "FAILURE", body)

    async def close(self) -> None:
        """End the channel."""
        await self._channel.close()


class HttpLine:
    """Requests over connections that are kept, as many as there are open questions; messages are whole requests."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, message: bytes, timeout_s: float = LONGEST_S) -> Answer:
        """One request."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = self._idle.pop() if self._idle else await self._connect()
                writer.write(message)
                answer = await _http_answer(reader)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            return Answer(type(error).__name__)
        self._idle.append((reader, writer))
        return answer

    async def close(self) -> None:
        """End the connections."""
        for _, writer in self._idle:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


async def _http_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = b""
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    status = head.split(b" ", 2)[1].decode()
    return Answer("OK" if status == "200" else status, body)


@dataclass
class Tally:
    """What became of some questions."""

    seconds: float
    """How long was asked."""
    codes: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    """From the moment at which each question was sent (closed loop) or due (open loop)."""
    bodies: list[bytes] = field(default_factory=list)

    def note(self, answer: Answer, latency_s: float) -> None:
        """Add an answer."""
        self.codes.append(answer.code)
        self.latencies_s.append(latency_s)
        self.bodies.append(answer.body)

    def count(self, *codes: str) -> int:
        """How many answers had one of these codes."""
        return sum(code in codes for code in self.codes)

    def percentile_ms(self, percent: float, *codes: str) -> float:
        """A percentile of the latencies of answers with one of these codes, in milliseconds; NaN if there are none."""
        chosen = [took for took, code in zip(self.latencies_s, self.codes, strict=True) if code in codes]
        return 1e3 * float(np.percentile(chosen, percent)) if chosen else float("nan")

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.count("OK") / self.seconds


async def closed_loop(line: Line, messages: Sequence[bytes], *, concurrency: int, seconds: float) -> Tally:
    """Keep `concurrency` questions open for `seconds` after the ramp; those that are open at the end do not count."""
    start = time.perf_counter() + RAMP_S
    tally, turn = Tally(seconds), itertools.cycle(messages)

    async def again() -> None:
        while (began := time.perf_counter()) < start + seconds:
            answer = await line.ask(next(turn))
            if start <= (ended := time.perf_counter()) < start + seconds:
                tally.note(answer, ended - began)

    await asyncio.gather(*(again() for _ in range(concurrency)))
    return tally


async def open_loop(
    line: Line, messages: Sequence[bytes], *, rate: float, seconds: float, timeout_s: float = LONGEST_S
) -> Tally:
    """Ask `rate` times a second for `seconds`; every question counts, from the moment at which it was due."""
    tally, turn, open_questions = Tally(seconds), itertools.cycle(messages), set[asyncio.Task[None]]()

    async def once(due: float, message: bytes) -> None:
        answer = await line.ask(message, timeout_s)
        tally.note(answer, time.perf_counter() - due)

    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        task = asyncio.ensure_future(once(due, next(turn)))
        open_questions.add(task)
        task.add_done_callback(open_questions.discard)
    while open_questions:
        await asyncio.wait(open_questions)
    return tally
