"""Items through threads: each prepared by itself, then several run together. Knows neither network nor model.

A prepared item waits only while every runner is at work; what has gathered by then is run together. Batches thus grow
with the load, and nothing is delayed for their sake. An item that is given up leaves the queue at once; one whose time
is over, or will be before it is done, is never run. An item that makes a run fail fails alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from robo_server.bound import Place
from robo_server.errors import DeadlineError, NotServingError
from robo_server.pace import Pace
from robo_server.priority import step_back

Q = TypeVar("Q")
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Known(Generic[R]):
    """What `prepare` gives for an item that need not be run."""

    result: R


@dataclass(frozen=True)
class Work(Generic[Q, P, R]):
    """What is done with items; all three are called in several threads at once."""

    prepare: Callable[[Q], P | Known[R]]
    run: Callable[[list[P]], Sequence[R]]
    """One result an item, in their order. A `NotServingError` fails the batch, anything else only its cause."""
    weigh: Callable[[Q], int]
    """How much of a batch an item takes, >= 1."""


@dataclass(frozen=True)
class Done(Generic[R]):
    """A result and where the time went, in seconds, each >= 0."""

    result: R
    prepare_s: float
    wait_s: float
    run_s: float
    is_known: bool = False
    """It was known without a run."""


class Batcher(Generic[Q, P, R]):
    """Runs items in batches of at most `max_weight`, in `runners` threads; used from one event loop."""

    def __init__(
        self,
        work: Work[Q, P, R],
        preparers: Executor,
        *,
        max_weight: int,
        runners: int = 1,
        on_batch: Callable[[int, float], None] = lambda weight, seconds: None,
    ) -> None:
        self._work = work
        self._preparers = preparers
        self._max_weight = max_weight
        self._on_batch = on_batch
        self._ready: deque[_Entry[Q, P, R]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._busy = 0
        self._weight = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._pace = Pace(runners)
        for number in range(runners):
            threading.Thread(target=self._serve, name=f"runner-{number}", daemon=True).start()

    async def submit(self, item: Q, place: Place, deadline: float) -> Done[R]:
        """Prepare and run one item; its `place` is given back when no thread works for it any more.

        Cancelling this takes an item that waits out of the queue. One already in a thread cannot be stopped.

        Args:
            item: what `Work.prepare` takes.
            place: share of the bound on everything in work.
            deadline: when the result is of no more use, by `time.monotonic`.

        Raises:
            DeadlineError: there is not enough time left; nothing was computed in vain.
            Exception: whatever `Work.prepare` or `Work.run` raises for this item.
        """
        entry: _Entry[Q, P, R] = _Entry(item, self._work.weigh(item), deadline, place, asyncio.get_running_loop())
        if not self._pace.suffices(self._weight + entry.weight, deadline - entry.arrived):
            place.give_back()
            raise DeadlineError("the time left is shorter than a verdict takes; allow more or ask less often")
        self._weight += entry.weight
        self._empty.clear()
        entry.preparation = self._preparers.submit(self._prepare, entry)
        try:
            return await entry.future
        except asyncio.CancelledError:
            self._withdraw(entry)
            raise

    def expected_s(self) -> float:
        """Seconds until what is in work now is done, by the recent pace."""
        return self._pace.expected_s(self._weight)

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in work."""
        await self._empty.wait()

    def close(self) -> bool:
        """End the runners when they are done with what they run; returns whether all threads rest already."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            return self._busy == 0

    def _withdraw(self, entry: _Entry[Q, P, R]) -> None:
        if entry.preparation is not None and entry.preparation.cancel():
            self._leave(entry)
            return
        with self._wake:
            if entry not in self._ready:
                return  # in a thread, which tells when it is done
            self._ready.remove(entry)
        self._leave(entry)

    def _leave(self, entry: _Entry[Q, P, R]) -> None:
        entry.place.give_back()
        self._weight -= entry.weight
        if not self._weight:
            self._empty.set()

    def _post(self, outcomes: Sequence[tuple[_Entry[Q, P, R], Done[R] | Exception]]) -> None:
        """Hand outcomes from a thread to the event loop, in one go."""
        if outcomes:
            with contextlib.suppress(RuntimeError):  # the loop has ended, nobody waits any more
                outcomes[0][0].loop.call_soon_threadsafe(self._settle, outcomes)

    def _settle(self, outcomes: Sequence[tuple[_Entry[Q, P, R], Done[R] | Exception]]) -> None:
        for entry, outcome in outcomes:
            self._leave(entry)
            if entry.future.done():
                continue
            if isinstance(outcome, Exception):
                entry.future.set_exception(outcome)
            else:
                entry.future.set_result(outcome)

    def _prepare(self, entry: _Entry[Q, P, R]) -> None:
        """In a preparer: make one item ready."""
        began = time.monotonic()
        if late := entry.late(began, 0.0):
            self._post([(entry, late)])
            return
        with self._wake:
            self._busy += 1
        try:
            prepared = self._work.prepare(entry.item)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this item alone
            self._post([(entry, error)])
            return
        finally:
            entry.prepare_s = time.monotonic() - began
            with self._wake:
                self._busy -= 1
        if isinstance(prepared, Known):
            self._post([(entry, Done(prepared.result, entry.prepare_s, began - entry.arrived, 0.0, True))])
            return
        self._pace.prepared(entry.prepare_s)
        with self._wake:
            entry.prepared = prepared
            self._ready.append(entry)
            self._wake.notify()

    def _serve(self) -> None:
        """In a runner: batch after batch until closed."""
        step_back()
        while batch := self._take():
            began = time.monotonic()
            outcomes = self._run_apart([entry.prepared for entry in batch])
            took = time.monotonic() - began
            weight = sum(entry.weight for entry in batch)
            self._pace.ran(weight, took)
            self._on_batch(weight, took)
            with self._wake:
                self._busy -= 1
            self._post([(entry, entry.done(one, began, took)) for entry, one in zip(batch, outcomes, strict=True)])

    def _take(self) -> list[_Entry[Q, P, R]]:
        """Wait for the next batch; empty when closed."""
        with self._wake:
            while True:
                self._wake.wait_for(lambda: self._ready or self._closed)
                if self._closed:
                    return []
                if batch := self._pop():
                    self._busy += 1
                    return batch

    def _pop(self) -> list[_Entry[Q, P, R]]:
        """The oldest entries that are still wanted and fit into one batch."""
        batch: list[_Entry[Q, P, R]] = []
        weight = 0
        now = time.monotonic()
        while self._ready and (not batch or weight + self._ready[0].weight <= self._max_weight):
            entry = self._ready.popleft()
            if late := entry.late(now, self._pace.run_s(entry.weight)):
                self._post([(entry, late)])
                continue
            batch.append(entry)
            weight += entry.weight
        return batch

    def _run_apart(self, items: list[P]) -> list[R | Exception]:
        """Results of items; where the run fails, its halves are run by themselves until the cause stands alone."""
        try:
            results = list(self._work.run(items))
            if len(results) != len(items):
                raise RuntimeError("the run gave another number of results than items")
        except NotServingError as error:
            return [error] * len(items)
        except Exception as error:  # noqa: BLE001 - goes to the one who asked for this item
            if len(items) == 1:
                return [error]
            middle = len(items) // 2
            return self._run_apart(items[:middle]) + self._run_apart(items[middle:])
        return list(results)


class _Entry(Generic[Q, P, R]):
    """One item on its way."""

    def __init__(self, item: Q, weight: int, deadline: float, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self.item = item
        self.weight = weight
        self.deadline = deadline
        self.place = place
        self.loop = loop
        self.future: asyncio.Future[Done[R]] = loop.create_future()
        self.arrived = time.monotonic()
        self.preparation: Future[None] | None = None
        self.prepared: P  # set before the entry is ready
        self.prepare_s = 0.0

    def late(self, now: float, needed_s: float) -> DeadlineError | None:
        """Why this entry is not worth working on, None if it is."""
        if self.future.cancelled() or now + needed_s > self.deadline:
            return DeadlineError("the verdict was not ready within the deadline")
        return None

    def done(self, outcome: R | Exception, began: float, took_s: float) -> Done[R] | Exception:
        """The outcome of a run that began at `began`."""
        if isinstance(outcome, Exception):
            return outcome
        return Done(outcome, self.prepare_s, began - self.arrived - self.prepare_s, took_s)
