"""A request's way through the threads: a place, decoding, the model, a verdict. Nothing here knows gRPC.

The event loop never decodes and never runs the model; it only waits for the threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from robo_dialog.detect.conclude import Prepared
from robo_dialog.detect.verdict import Frame, Request, Verdict
from robo_server.batching import Batcher, Known, Work
from robo_server.bound import Bound
from robo_server.cache import VerdictCache, cache_key
from robo_server.errors import NotServingError, OverloadedError
from robo_server.memory import give_back
from robo_server.model import Model, ModelInfo
from robo_server.priority import step_back
from robo_server.settings import Limits

T = TypeVar("T")
DECODE_THREADS = 2
"""Decoding takes a few milliseconds and releases the interpreter lock; two threads keep the model fed."""
RETRY_S = (0.05, 10.0)
"""Shortest and longest time that an overloaded server asks a client to wait."""


@dataclass(frozen=True)
class Judged:
    """A verdict and where the time went, in seconds, each >= 0."""

    verdict: Verdict
    decode_s: float
    queue_s: float
    inference_s: float
    is_cached: bool
    """The verdict comes from memory."""


class Pipeline:
    """Decodes and judges requests; bounded, so that a request waits a short time or is refused at once."""

    def __init__(self, limits: Limits, on_batch: Callable[[int, float], None] = lambda weight, seconds: None) -> None:
        """Take on nothing yet; `on_batch` is told the weight and the seconds of every run of the model."""
        self._limits = limits
        self._on_batch = on_batch
        self._bound = Bound(limits.max_in_flight, limits.max_bytes_in_flight)
        self._cache = VerdictCache(limits.cache)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode", initializer=step_back)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load", initializer=step_back)
        self._loads: set[Future[Any]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._lane: _Lane | None = None

    async def prepare(self, load: Callable[[], Model]) -> Model:
        """Load a model, warmed up, in a thread of its own; `serve` or `discard` it then.

        Raises:
            RoboDialogError: whatever `load` raises.
        """
        return await self._in_loader(load)

    def serve(self, model: Model) -> None:
        """Let new requests be answered by this model.

        Those that are in work end with the model that they began with, which is closed after the last of them.
        """
        before, self._lane = (
            self._lane,
            _Lane(model, self._decoders, self._cache, self._limits.max_batch, self._on_batch),
        )
        if before is not None:
            retiring = asyncio.ensure_future(self._retire(before))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def discard(self, model: Model) -> None:
        """Close a prepared model that shall not serve."""
        await self._in_loader(lambda: _free(model))

    @property
    def in_work(self) -> tuple[int, int]:
        """Requests in work and the bytes of their images."""
        return self._bound.items, self._bound.size_bytes

    async def wait_until_retired(self) -> None:
        """Wait until every model that served before is closed."""
        while self._retiring:
            await asyncio.wait(self._retiring)

    @property
    def current(self) -> ModelInfo | None:
        """The model that gives the verdicts; None until one is loaded."""
        return None if self._lane is None else self._lane.model.info

    @property
    def info(self) -> ModelInfo:
        """The model that gives the verdicts.

        Raises:
            NotServingError: none is loaded yet.
        """
        return self._ready().model.info

    async def judge(self, request: Request, deadline: float) -> Judged:
        """Give the verdict on one request.

        A caller that is cancelled while its request waits takes the request out of the queue. A request already in a
        thread cannot be stopped and keeps its place until the thread is done, so that the bound holds.

        Args:
            request: the question.
            deadline: when the answer is of no more use, by `time.monotonic`.

        Raises:
            RequestError: the detector refuses the images or the instruction.
            ModelError: the model gave no usable number.
            NotServingError: no model is loaded yet.
            OverloadedError: all places are taken.
            DeadlineError: the time left is shorter than a verdict takes.
        """
        lane = self._ready()
        place = self._bound.take(_size_bytes(request))
        if place is None:
            shortest, longest = RETRY_S
            raise OverloadedError(min(longest, max(shortest, lane.batcher.expected_s())))
        done = await lane.batcher.submit(request, place, deadline)
        return Judged(done.result, done.prepare_s, done.wait_s, done.run_s, done.is_known)

    async def close(self) -> bool:
        """Drop what waits; return whether no thread is at work, so that the process can end in order."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        is_at_rest = not self._loads and not self._retiring
        if self._lane is not None:
            is_at_rest = self._lane.batcher.close() and is_at_rest
        if is_at_rest:
            if self._lane is not None:
                await self._in_loader(self._lane.model.judge.close)
                self._lane = None
            self._loader.shutdown()
        return is_at_rest

    async def _in_loader(self, work: Callable[[], T]) -> T:
        future = self._loader.submit(work)
        self._loads.add(future)
        future.add_done_callback(self._loads.discard)
        return await asyncio.wrap_future(future)

    async def _retire(self, lane: _Lane) -> None:
        await lane.batcher.wait_until_empty()
        lane.batcher.close()
        await self._in_loader(lambda: _free(lane.model))

    def _ready(self) -> _Lane:
        if self._lane is None:
            raise NotServingError("the model is still being loaded; try again later")
        return self._lane


@dataclass(frozen=True)
class _Question:
    """A decoded request and the key of its verdict."""

    prepared: Prepared
    key: bytes


class _Lane:
    """One model and the threads that run it."""

    def __init__(
        self,
        model: Model,
        decoders: ThreadPoolExecutor,
        cache: VerdictCache,
        max_batch: int,
        on_batch: Callable[[int, float], None],
    ) -> None:
        self.model = model
        self._cache = cache
        work = Work(self._prepare, self._run, model.judge.weigh)
        self.batcher = Batcher(work, decoders, max_weight=max_batch, runners=model.runners, on_batch=on_batch)

    def _prepare(self, request: Request) -> _Question | Known[Verdict]:
        key = cache_key(request, self.model.info.digest)
        verdict = self._cache.get(key)
        if verdict is not None:
            return Known(verdict)
        return _Question(self.model.judge.prepare(request), key)

    def _run(self, questions: list[_Question]) -> list[Verdict]:
        verdicts = self.model.judge.judge([question.prepared for question in questions])
        for question, verdict in zip(questions, verdicts, strict=True):
            self._cache.put(question.key, verdict)
        return verdicts


def _free(model: Model) -> None:
    model.judge.close()
    give_back()


def _size_bytes(request: Request) -> int:
    images = (frame.data if isinstance(frame, Frame) else frame for frame in request.frames)
    return sum(len(image) if isinstance(image, bytes) else image.nbytes for image in images)
