"""The program's side: a few workers that stay, tasks handed out in order, answers in the order of the tasks.

The answers do not depend on the number of workers. A worker that dies over a step costs that step and no other; one
that dies before the first step of a file costs the file.
"""

from __future__ import annotations

import heapq
import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from robo_episodes.layout import Layout
from robo_episodes.turns import BEFORE
from robo_episodes.workers.hand import Hand, LostWorkerError
from robo_episodes.workers.limits import Limits
from robo_episodes.workers.tasks import Task
from robo_episodes.workers.wire import Message, WireError

A = TypeVar("A")

AHEAD = 64 << 20
"""Bytes of answers that may wait for those before them; beyond, workers that are ahead have to wait themselves."""

MAX_TIMEOUTS = 3
"""Episodes of one file that may take too long before the rest of it is left out."""


@dataclass(eq=False)
class _Job(Generic[A]):
    """A task on its way."""

    task: Task[A]
    start: int
    """Ordinal of the step that comes next."""
    answers: deque[tuple[int, A, int]] = field(default_factory=deque)
    """Ordinal, answer, and bytes that it takes."""
    done: bool = False
    tried: int | None = None
    """Step over which a worker died that had done others before, and may have died of those."""
    timeouts: int = 0


class Crew:
    """Workers for one program; use it as a context, so that none outlives it."""

    def __init__(self, layouts: Iterable[Layout], *, workers: int = 0, limits: Limits | None = None) -> None:
        """Workers start when there is something for them.

        Args:
            layouts: all that recordings may have.
            workers: how many; 0: one a processor core.
            limits: what one episode may cost.
        """
        self.layouts = {layout.name: layout for layout in layouts}
        self.workers = workers or len(os.sched_getaffinity(0))
        self.limits = limits or Limits()
        self._idle: list[Hand] = []
        self._busy: dict[Hand, _Job[Any]] = {}
        self._waiting: deque[_Job[Any]] = deque()
        self._ahead = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._forget()
        for hand in self._idle:
            hand.end()

    def run(self, groups: Iterable[Sequence[Task[A]]]) -> Iterator[Iterator[A]]:
        """Do tasks; yield the answers of each group, as `numbered` does, without their ordinals."""
        for answers in self.numbered(groups):
            yield (answer for _, answer in answers)

    def numbered(self, groups: Iterable[Sequence[Task[A]]]) -> Iterator[Iterator[tuple[int, A]]]:
        """Do tasks; yield the answers of each group, merged by ordinal; use them up before asking for the next group's.

        Args:
            groups: tasks that share something; taken from the iterator as workers become free.
        """
        source, begun = iter(groups), deque[list[_Job[A]]]()

        def begin() -> bool:
            group = next(source, None)
            if group is None:
                return False
            begun.append([_Job(task, task.next_after(BEFORE)) for task in group])
            self._waiting.extend(begun[-1])
            return True

        try:
            while begun or begin():
                parts = [self._answers(job, begin) for job in begun[0]]
                yield heapq.merge(*parts, key=itemgetter(0))
                begun.popleft()
        finally:
            self._forget()  # what nobody waits for any more, if the caller has seen enough

    def _forget(self) -> None:
        for hand in self._busy:
            hand.end()
        self._busy.clear()
        self._waiting.clear()
        self._ahead = 0

    def _answers(self, job: _Job[A], begin: Callable[[], bool]) -> Iterator[tuple[int, A]]:
        """Yield the answers to a task as they come, and keep all workers busy meanwhile."""
        while True:
            while job.answers:
                ordinal, answer, size = job.answers.popleft()
                self._ahead -= size
                yield ordinal, answer
            if job.done:
                return
            self._hand_out(job, begin)
            self._listen(job)

    def _hand_out(self, wanted: _Job[Any], begin: Callable[[], bool]) -> None:
        while len(self._busy) < self.workers and (self._waiting or begin()):
            if self._ahead >= AHEAD and wanted not in self._waiting:
                return
            hand = self._idle.pop() if self._idle else Hand(tuple(self.layouts.values()), self.limits)
            job = self._waiting.popleft()
            self._busy[hand] = job
            try:
                hand.give(job.task.message(job.start))
            except LostWorkerError as error:
                self._lose(hand, error)

    def _listen(self, wanted: _Job[Any]) -> None:
        """Wait until a worker says something or has been silent for too long, and take it in."""
        heard = [hand for hand, job in self._busy.items() if self._ahead < AHEAD or job is wanted]
        poll = select.poll()
        for hand in heard:
            poll.register(hand, select.POLLIN)
        patience = min((hand.patience for hand in heard), default=0.0)
        ready = {number for number, _ in poll.poll(max(0.0, patience) * 1000)}
        for hand in self._busy.keys() - set(heard):
            hand.listen()
        for hand in heard:
            try:
                if hand.fileno() in ready:
                    for message in hand.read():
                        self._take_in(hand, message)
                elif hand.patience <= 0:
                    raise hand.overdue()
            except LostWorkerError as error:
                self._lose(hand, error)

    def _take_in(self, hand: Hand, message: Message) -> None:
        job = self._busy[hand]
        content = message.content
        if "broke" in content:
            raise LostWorkerError(str(content["broke"]))
        if content.get("begun") is True:
            hand.begun = True
            return
        if content.get("done") is True:
            self._finish(hand, job, retires=content.get("retires") is True)
            return
        try:
            ordinal, answer = content.pop("ordinal", None), job.task.answer(message)
            if not isinstance(ordinal, int) or not (ordinal == BEFORE or ordinal >= job.start):
                raise WireError(f"an answer to step {ordinal}, expected {job.start}")
        except WireError as error:
            raise LostWorkerError(f"makes the process that reads it send {error}") from error
        if ordinal != BEFORE:
            job.start = job.task.next_after(ordinal)
        hand.answers += 1
        self._add(job, ordinal, answer, message.size)

    def _finish(self, hand: Hand, job: _Job[Any], *, retires: bool) -> None:
        job.done = True
        del self._busy[hand]
        if retires:
            hand.end()
        else:
            self._idle.append(hand)

    def _lose(self, hand: Hand, error: LostWorkerError) -> None:
        """Replace a worker that is lost; try the step again where the worker may have been at fault."""
        job, reason = self._busy.pop(hand), str(error)
        hand.end()
        if hand.answers and not error.is_late and job.tried != job.start:
            job.tried = job.start
        else:
            job.timeouts += error.is_late
            job.done = job.task.one_file and (not hand.begun or job.timeouts == MAX_TIMEOUTS)
            if job.done and hand.begun:
                reason += "; what it still holds is left out"
            self._add(job, job.start, job.task.lost(job.start, reason), 0)
            job.start = job.task.next_after(job.start)
        if not job.done:
            self._waiting.appendleft(job)

    def _add(self, job: _Job[A], ordinal: int, answer: A, size: int) -> None:
        job.answers.append((ordinal, answer, size))
        self._ahead += size
