"""Signs that rounds go wrong: pure functions of what the rounds report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_DIVERSITY = 0.5
"""Share of the first round's distinct pairs of words below which questions have collapsed."""
YES_SHARES = (0.1, 0.9)
"""Shares of "yes" among kept answers outside of which a model agrees, or disagrees, with everything."""

LEAST_SIGHT = 0.10
"""How much more often than by luck games must be won: where the first round of a study gained, they were won 14 to 18
points more often, and where it gained nothing, 8 (docs/study.md)."""


def alarms(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the last of some rounds.

    Args:
        rounds: summaries of `play`, each with `yes_share` of what was learned, in order; at least one.
    """
    first, last = rounds[0], rounds[-1]
    found = [str(warning) for warning in last.get("warnings", ())]
    diversity, before = last.get("distinct_2"), first.get("distinct_2")
    if diversity is not None and before and diversity < LEAST_DIVERSITY * before:
        found.append(f"questions have collapsed: distinct pairs of words fell from {before:.4f} to {diversity:.4f}")
    yes = last.get("yes_share")
    if yes is not None and not YES_SHARES[0] <= yes <= YES_SHARES[1]:
        found.append(f"{yes:.0%} of the kept answers are yes: the model says the same to everything")
    luck, played = last.get("expected_lucky_share"), last.get("games", 0) - last.get("aborted", 0)
    if luck is not None and played and (won := 1 - last["rejected"].get("lost", 0) / played) < luck + LEAST_SIGHT:
        found.append(
            f"{won:.0%} of the games were won, {luck:.0%} is luck: the model hardly sees what is asked, and can hardly "
            "teach itself; begin with one that knows more of these tasks"
        )
    return found
