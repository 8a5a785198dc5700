"""Whether a candidate replaces the champion: a pure decision on evidence. Knows no model and no file.

A candidate is promoted if every check passes and one of them can carry it: enough labelled episodes, or else enough
games. That one must show it not to be worse, by the figure itself and within `margin` by its 95 % interval; everything
else must not have fallen by more than is allowed. A first candidate has nobody to be compared with, and must be better
than chance instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from robo_dialog.tune.evidence import Evidence
from robo_dialog.tune.gate_checks import (
    check_anchor,
    check_games,
    check_labelled,
    check_latency,
    check_outcomes,
    check_parity,
)
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.gate_rules import Check


@dataclass(frozen=True)
class Decision:
    """What was decided, and why."""

    promoted: bool
    reason: str
    checks: Sequence[Check]
    limits: Limits

    def as_json(self) -> dict[str, object]:
        """Plain values; a figure that nothing determines is null."""
        return {
            "promoted": self.promoted,
            "reason": self.reason,
            "checks": [one.as_json() for one in self.checks],
            "limits": asdict(self.limits),
        }


def decide(evidence: Evidence, limits: Limits) -> Decision:
    """Decide on a candidate.

    Args:
        evidence: of the candidate, and of the champion if there is one; the candidate must not have learned from it.
        limits: how strict to be.

    Raises:
        ValueError: the two sides of a piece of evidence are not about the same things.
    """
    labelled = check_labelled(evidence.labelled, limits)
    checks = [
        *check_parity(evidence.parity),
        *labelled,
        *check_games(evidence.games, limits, decide=not any(one.carries for one in labelled)),
        *check_outcomes(evidence.outcomes, limits),
        *check_anchor(evidence.anchor, limits),
        *check_latency(evidence.seconds, limits),
    ]
    if all(one.passed for one in checks) and not any(one.carries for one in checks):
        told = "nothing tells what it is worth; give labelled episodes, or games that it was not trained on"
        checks.append(Check("evidence", False, told))
    failed = [f"{one.name}: {one.reason}" for one in checks if not one.passed]
    return Decision(not failed, "; ".join(failed) or "every check passed", checks, limits)
