"""The rules by which the gate compares a candidate with the champion, or a first candidate with chance: pure functions.

Every comparison is paired: both detectors on the same things, and intervals by drawing those anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from robo_dialog.tune.evidence import Sides
from robo_dialog.tune.metrics import bootstrap_interval, mcnemar

Flags: TypeAlias = NDArray[np.bool_]
Statistic: TypeAlias = Callable[[Flags, Flags], float]
"""Of what should be said (N,) and what is said (N,); NaN where they do not determine it."""
T = TypeVar("T")

LIKELY = 0.2
"""Two-sided p-value of McNemar's test up to which a fall in a slice counts as likely: slices are small."""
_DIGITS = 4


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the decision rests on; NaN where nothing determines it."""
    carries: bool = False
    """Whether it says enough of a candidate to promote it by."""

    def as_json(self) -> dict[str, object]:
        """Plain values; NaN becomes null."""
        figures = {key: None if math.isnan(one) else round(one, _DIGITS) for key, one in self.figures.items()}
        return {"name": self.name, "passed": self.passed, "reason": self.reason, "figures": figures}


@dataclass(frozen=True)
class Columns:
    """What both detectors said of the same `N` things."""

    ids: tuple[str, ...]
    """[N] things of one id are drawn together: they are one piece of evidence."""
    wanted: Flags
    """[N] what the candidate should say, or what its saying is compared with."""
    said: Flags
    """[N] what the candidate says."""
    champion: tuple[Flags, Flags] | None
    """The same two of the champion, if there is one."""

    def part(self, rows: Sequence[int]) -> Columns:
        """Some rows of it."""
        places = np.array(rows, np.intp)
        champion = self.champion and (self.champion[0][places], self.champion[1][places])
        return Columns(tuple(self.ids[row] for row in rows), self.wanted[places], self.said[places], champion)


def columns_of(sides: Sides[T], rows: Callable[[T], Iterable[tuple[str, bool, bool]]]) -> Columns:
    """Lay evidence out in columns.

    Args:
        sides: what both detectors made of the same things.
        rows: of one thing, any number of (id, what should be said, what is said).

    Raises:
        ValueError: the two sides are not about the same things.
    """
    mine = [row for one in sides.candidate for row in rows(one)]
    ids = tuple(row[0] for row in mine)
    if sides.champion is None:
        return Columns(ids, *_flags(mine), None)
    theirs = [row for one in sides.champion for row in rows(one)]
    if ids != tuple(row[0] for row in theirs):
        raise ValueError("both detectors must have seen the same things in the same order")
    return Columns(ids, *_flags(mine), _flags(theirs))


def not_worse(name: str, columns: Columns, statistic: Statistic, margin: float) -> Check:
    """The figure must not be below the champion's, and its 95 % interval not further below than `margin`."""
    figures = _compared(columns, statistic)
    passed = figures["difference"] >= 0 and figures["low"] >= -margin
    return Check(
        name, passed, f"{_told(figures)}; 0 and {-margin:+.3f} at the low end are needed", figures, carries=True
    )


def no_fall(name: str, columns: Columns, statistic: Statistic, fall: float) -> Check:
    """The figure may be below the champion's by `fall`, and by more only where its 95 % interval still holds 0."""
    figures = _compared(columns, statistic)
    passed = figures["difference"] >= -fall or figures["high"] >= 0
    return Check(name, passed, f"{_told(figures)}; {-fall:+.3f} is allowed", figures)


def slice_held(name: str, columns: Columns, statistic: Statistic, fall: float) -> Check:
    """The same, but a larger fall must not even be likely by McNemar's test: a slice has few episodes.

    Of several rows of one episode, what is right more often counts once; the test must tell of more episodes that
    became worse than better.
    """
    figures = _compared(columns, statistic, draws=1)
    wanted, said = columns.champion or (columns.wanted, columns.said)
    better = (columns.said == columns.wanted).astype(int) - (said == wanted).astype(int)
    episodes, place = np.unique(np.asarray(columns.ids, np.str_), return_inverse=True)
    votes = np.bincount(place, weights=better, minlength=len(episodes))
    p_value = mcnemar(np.ones(len(episodes), np.bool_), votes > 0, votes < 0).p_value
    own = {key: figures[key] for key in ("n", "candidate", "champion", "difference")} | {"p_value": p_value}
    told = f"{own['candidate']:.3f} against {own['champion']:.3f}, p = {p_value:.3g}"
    likely = p_value <= LIKELY and np.sum(votes < 0) > np.sum(votes > 0)
    return Check(name, own["difference"] >= -fall or not likely, told, own)


def above(name: str, columns: Columns, statistic: Statistic, chance: float, least: float, *, carries: bool) -> Check:
    """Without a champion: the figure must reach `least`, and its 95 % interval lie above `chance`."""
    value = statistic(columns.wanted, columns.said)
    low, high = bootstrap_interval(lambda rows: statistic(columns.wanted[rows], columns.said[rows]), columns.ids)
    figures = {"n": len(set(columns.ids)), "candidate": value, "low": low, "high": high}
    told = f"{value:.3f} ({low:.3f} to {high:.3f}); {least:.3f}, and more than {chance:.3f} at the low end are needed"
    return Check(name, value >= least and low > chance, told, figures, carries)


def kappa(one: Flags, other: Flags) -> float:
    """Agreement of two columns (N,) beyond what their shares of yes give by chance (Cohen): 1 always, 0 as by chance.

    0 where one of the two never changes: what always says the same agrees with nobody.
    """
    if not one.size or one.all() or other.all() or not one.any() or not other.any():
        return 0.0
    a, b = one.mean(), other.mean()
    by_chance = a * b + (1 - a) * (1 - b)
    return float(((one == other).mean() - by_chance) / (1 - by_chance))


def share_right(wanted: Flags, said: Flags) -> float:
    """Share of rows (N,) in which what is said is what should be said."""
    return float((wanted == said).mean()) if wanted.size else math.nan


def _flags(rows: Sequence[tuple[str, bool, bool]]) -> tuple[Flags, Flags]:
    return np.array([row[1] for row in rows], np.bool_), np.array([row[2] for row in rows], np.bool_)


def _compared(columns: Columns, statistic: Statistic, draws: int = 1000) -> dict[str, float]:
    """Both figures, and their difference with its 95 % interval."""
    wanted, said = columns.wanted, columns.said
    their_wanted, their_said = columns.champion or (wanted, said)

    def difference(rows: NDArray[np.intp]) -> float:
        return statistic(wanted[rows], said[rows]) - statistic(their_wanted[rows], their_said[rows])

    low, high = bootstrap_interval(difference, columns.ids, draws=draws)
    mine, theirs = statistic(wanted, said), statistic(their_wanted, their_said)
    spread = {"difference": mine - theirs, "low": low, "high": high}
    return {"n": len(set(columns.ids)), "candidate": mine, "champion": theirs, **spread}


def _told(figures: Mapping[str, float]) -> str:
    return (
        f"{figures['candidate']:.3f} against {figures['champion']:.3f}, difference {figures['difference']:+.3f} "
        f"({figures['low']:+.3f} to {figures['high']:+.3f})"
    )
