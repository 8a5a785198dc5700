"""What should bother somebody in the morning: pure functions of this night's figures and those of the nights before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from robo_dialog.nightly.settings import Bounds


@dataclass(frozen=True)
class Alarm:
    """One thing that is not as it was, or not as it should be."""

    code: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


Figures = Mapping[str, float | None]
"""Of one night, by name; None or missing where nothing determines it."""


def alarms(now: Figures, before: Sequence[Figures], refusals: int, bounds: Bounds) -> list[Alarm]:
    """Everything that is out of bounds.

    Args:
        now: this night's figures.
        before: those of the nights before, oldest first.
        refusals: nights in a row, this one included, in which no candidate was good enough.
        bounds: from where on something is an alarm.
    """
    found = [
        *_above(now, "garbage", bounds.garbage, "of the new frames are blank or noise"),
        *_drifted(now, bounds),
        *_moved(now, before, "yes_share", bounds.yes_share, "of the new episodes are successes to the champion"),
        *_collapsed(now, before, bounds),
        *_above(now, "luck", bounds.luck, "more games than chance gives are won without any answer"),
        *_above(
            now, "disagreement", bounds.disagreement, "of the same episodes get other verdicts than the night before"
        ),
        *_rewarded(now, before, bounds),
    ]
    if refusals >= bounds.refusals:
        found.append(Alarm("refusals", f"no candidate was good enough for {refusals} nights in a row"))
    return found


def mean_of(figures: Sequence[Figures], name: str) -> float | None:
    """Mean of a figure over the nights that have it."""
    values = [value for one in figures if (value := one.get(name)) is not None]
    return sum(values) / len(values) if values else None


def _above(now: Figures, name: str, bound: float, words: str) -> Iterator[Alarm]:
    value = now.get(name)
    if value is not None and value > bound:
        yield Alarm(name, f"{value:.0%} {words}; {bound:.0%} is the bound")


def _drifted(now: Figures, bounds: Bounds) -> Iterator[Alarm]:
    value, chance = now.get("drift"), now.get("drift_by_chance")
    if value is not None and value > max(bounds.drift, chance or 0.0):
        yield Alarm("drift", f"frames do not look as in the nights before: distance {value:.2f} of 1")


def _moved(now: Figures, before: Sequence[Figures], name: str, bound: float, words: str) -> Iterator[Alarm]:
    value, usual = now.get(name), mean_of(before, name)
    if value is not None and usual is not None and abs(value - usual) > bound:
        yield Alarm(name, f"{value:.0%} {words}; it was {usual:.0%} in the nights before")


def _collapsed(now: Figures, before: Sequence[Figures], bounds: Bounds) -> Iterator[Alarm]:
    value, usual = now.get("diversity"), mean_of(before, "diversity")
    if value is not None and usual is not None and value < bounds.diversity * usual:
        yield Alarm(
            "diversity", f"questions say the same again and again: {value:.3f} different word pairs, {usual:.3f} before"
        )


def _rewarded(now: Figures, before: Sequence[Figures], bounds: Bounds) -> Iterator[Alarm]:
    """Verdicts that rise while successes do not: somebody, or some policy, has learned to please the detector."""
    said, seen = now.get("said_success"), now.get("seen_success")
    usually_said, usually_seen = mean_of(before, "said_success"), mean_of(before, "seen_success")
    if said is None or seen is None or usually_said is None or usually_seen is None:
        return
    if (said - usually_said) - max(0.0, seen - usually_seen) > bounds.reward:
        yield Alarm(
            "reward",
            f"verdicts SUCCESS rose from {usually_said:.0%} to {said:.0%} of the reviewed requests, successes that "
            f"were seen went from {usually_seen:.0%} to {seen:.0%}",
        )
