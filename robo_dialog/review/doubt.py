"""Which episodes a person should look at first: verdicts that contradict a label, or could go either way."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from robo_dialog.relabel.rows import LabelRow


@dataclass(frozen=True)
class Doubt:
    """Why an episode deserves a look."""

    contradicts: bool
    """The label that the recording has is the other one."""
    cameras_differ: bool
    """Some cameras by themselves come to the other side."""
    distance: float
    """Of the probability from the threshold, in [0, 1]."""


def doubt(row: LabelRow) -> Doubt:
    """What is doubtful about a verdict."""
    sides = {one.probability >= row.threshold for one in row.cameras}
    contradicts = row.label is not None and row.label != row.called
    return Doubt(contradicts, len(sides) > 1, abs(row.probability - row.threshold))


def most_doubtful(rows: Iterable[LabelRow], most: int, decided: Collection[str]) -> list[LabelRow]:
    """The episodes to look at, in order, without holding all rows.

    Contradictions, the surest first, and undecided verdicts, the nearest to their threshold first, take turns, so that
    neither hides the other. Episodes that somebody has decided on come last.

    Args:
        rows: all.
        most: how many are chosen at most.
        decided: ids of episodes that somebody has decided on.
    """
    against, near, done = _Shortest(most), _Shortest(most), _Shortest(most)
    for row in rows:
        found = doubt(row)
        if row.episode_id in decided:
            done.add(found.distance, row)
        elif found.contradicts:
            against.add(-found.distance, row)
        else:
            near.add(found.distance - found.cameras_differ, row)
    turns = chain.from_iterable(zip_longest(against.rows(), near.rows()))
    return [row for row in chain(turns, done.rows()) if row is not None][:most]


class _Shortest:
    """Keeps the rows with the lowest numbers; of equal ones, those that came first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, LabelRow]] = []
        self._seen = 0

    def add(self, number: float, row: LabelRow) -> None:
        self._seen += 1
        entry = (-number, -self._seen, row)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def rows(self) -> Iterator[LabelRow]:
        return (row for _, _, row in sorted(self._heap, reverse=True))
