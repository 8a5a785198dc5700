"""Requests through threads: at most so many at a time, images decoded beside the model, the model in one thread.

Nothing here knows gRPC. The event loop never decodes and never runs the model; it only waits for the threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from robo_dialog.detect.verdict import Request, Verdict
from robo_server.model import Model, ModelInfo
from robo_server.problems import NotServingError, OverloadedError

T = TypeVar("T")
DECODE_THREADS = 2
"""Decoding takes a few milliseconds and releases the interpreter lock; two threads keep the model fed."""
SHORTEST_RETRY_S = 0.05
SMOOTHING = 0.1
"""Share of the newest request in the running mean of the service time."""


@dataclass(frozen=True)
class Judged:
    """A verdict and where the time went, in seconds, each >= 0."""

    verdict: Verdict
    decode_s: float
    queue_s: float
    inference_s: float


class Pipeline:
    """Decodes and judges requests; bounded, so that a request waits a short time or is refused at once."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._slots = threading.Semaphore(max_in_flight)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._session = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._model: Model | None = None
        self._service_s = 0.0
        self._threads_at_work: set[Future[Any]] = set()

    async def load(self, loader: Callable[[], Model]) -> ModelInfo:
        """Load a model, warmed up, in the thread that will run it; requests are answered from then on.

        Raises:
            RoboDialogError: whatever `loader` raises; the pipeline then stays without a model.
        """
        future = self._session.submit(loader)
        self._watch(future)
        self._model = await asyncio.wrap_future(future)
        return self._model.info

    @property
    def info(self) -> ModelInfo:
        """The model that gives the verdicts.

        Raises:
            NotServingError: none is loaded yet.
        """
        return self._ready().info

    async def judge(self, request: Request) -> Judged:
        """Give the verdict on one request.

        A caller that is cancelled while its request waits takes the request out of the queue. A request already in a
        thread cannot be stopped and keeps its place until the thread is done, so that the bound holds.

        Raises:
            RequestError: the detector refuses the images or the instruction.
            ModelError: the model gave no usable number.
            NotServingError: no model is loaded yet.
            OverloadedError: all places are taken.
        """
        judge = self._ready().judge
        if not self._slots.acquire(blocking=False):
            raise OverloadedError(max(SHORTEST_RETRY_S, self._service_s * self._max_in_flight))
        place = _Place(self._slots, self._watch)
        try:
            prepared = await place.run(self._decoders, lambda: judge.prepare(request))
            judged = await place.run(self._session, lambda: judge.judge([prepared.result])[0])
        finally:
            place.give_back()
        self._service_s += SMOOTHING * (prepared.work_s + judged.work_s - self._service_s)
        return Judged(judged.result, prepared.work_s, prepared.wait_s + judged.wait_s, judged.work_s)

    def close(self) -> bool:
        """Drop what waits; return whether no thread is at work, so that the process can end in order."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._session.shutdown(wait=False, cancel_futures=True)
        return not self._threads_at_work

    def _watch(self, future: Future[Any]) -> None:
        self._threads_at_work.add(future)
        future.add_done_callback(self._threads_at_work.discard)

    def _ready(self) -> Model:
        if self._model is None:
            raise NotServingError("the model is still being loaded; try again later")
        return self._model


@dataclass(frozen=True)
class _Done(Generic[T]):
    """What a thread gave, and how long it waited for the thread and worked, in seconds."""

    result: T
    wait_s: float
    work_s: float


class _Place:
    """One of the pipeline's places; it is free again when the last thread that works for it is done."""

    def __init__(self, slots: threading.Semaphore, watch: Callable[[Future[Any]], None]) -> None:
        self._slots = slots
        self._watch = watch
        self._last: Future[Any] | None = None

    async def run(self, executor: Executor, work: Callable[[], T]) -> _Done[T]:
        future = executor.submit(_timed, work, time.monotonic())
        self._watch(future)
        self._last = future
        return await asyncio.wrap_future(future)

    def give_back(self) -> None:
        if self._last is None:
            self._slots.release()
        else:
            self._last.add_done_callback(lambda _: self._slots.release())


def _timed(work: Callable[[], T], submitted: float) -> _Done[T]:
    began = time.monotonic()
    result = work()
    return _Done(result, wait_s=began - submitted, work_s=time.monotonic() - began)
