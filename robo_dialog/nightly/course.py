"""One night from what is new to its report; called again after any interruption, it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from robo_dialog.errors import NightlyError, OverBudgetError
from robo_dialog.nightly.alarms import Alarm, alarms
from robo_dialog.nightly.chain import Chain, keep_checkpoint
from robo_dialog.nightly.night import Facts, Night
from robo_dialog.nightly.outcomes import reviewed
from robo_dialog.nightly.serving import settle
from robo_dialog.nightly.settings import Memory, ServerChoice

PROMOTED, KEPT, REFUSED = "promoted", "kept", "refused"
"""How a night ends: a new champion; the old one; the new episodes are not to be learned from."""
TRIES = 3
"""Failures of a stage after which a night is given up, so that it does not stand in the way of those to come."""


@dataclass(frozen=True)
class Ended:
    """How a night ended."""

    outcome: str
    reason: str
    usable: bool
    """Whether later nights may learn from its episodes: they do not where a candidate made of them was refused."""
    alarm: str = ""
    """Code of an alarm that tells of the reason."""


def too_few(chain: Chain, others: Sequence[Night]) -> bool:
    """Whether there is too little to begin with; what there is waits for another night."""
    return int(chain.ingest(others)["new"]) < chain.bounds.fewest


def discard(night: Night) -> None:
    """Delete the folder of a night in which nothing was new."""
    shutil.rmtree(night.path)


def go_through(chain: Chain, before: Sequence[Night], memory: Memory, server: ServerChoice) -> dict[str, Any]:
    """Do what is still to be done of a night, and return its report.

    Args:
        chain: the night's stages.
        before: closed nights, in order.
        memory: how many of them are learned from together.
        server: who must take a new champion.
    """
    usable = [night for night in before if (night.report or {}).get("usable")]
    ended = _ended(chain, usable[-(memory.window - 1) :] if memory.window > 1 else [])
    problem = None
    if ended.outcome == PROMOTED:
        version = str(chain.night.once("promote", dict)["candidate"])
        keep_checkpoint(chain, version)
        problem = chain.night.once("serve", lambda: {"problem": settle(chain.store, version, server)})["problem"]
    return _report(chain, before, ended, problem)


def _ended(chain: Chain, window: Sequence[Night]) -> Ended:
    try:
        spoiled = float(chain.look(window)["garbage"])
        if spoiled > chain.bounds.garbage:
            return Ended(REFUSED, f"{spoiled:.0%} of the new frames are blank or noise", usable=False)
        chain.retrain(window)
        found = chain.judge()
    except OverBudgetError as error:
        return Ended(KEPT, str(error), usable=True, alarm="over_budget")
    except NightlyError as error:
        if chain.night.count_failure() < TRIES:
            raise
        return Ended(KEPT, str(error), usable=False, alarm="failed")
    if _undecided(found):
        return Ended(KEPT, str(found["reason"]), usable=True, alarm="undecided")
    outcome = PROMOTED if found["promoted"] else KEPT
    return Ended(outcome, str(found["reason"]), usable=bool(found["promoted"]) or _unproven(found))


def _undecided(found: Facts) -> bool:
    """Whether the gate found nothing wrong, and nothing that could decide: that speaks of the gate's evidence alone."""
    return [one["name"] for one in found.get("checks", []) if not one["passed"]] == ["evidence"]


def _unproven(found: Facts) -> bool:
    """Whether the candidate looked no worse, and was only refused because so few episodes cannot prove it."""
    failed = [one for one in found.get("checks", []) if not one["passed"]]
    differences = [one.get("figures", {}).get("difference") for one in failed]
    return len(failed) == 1 and differences[0] is not None and differences[0] >= 0


def _report(chain: Chain, before: Sequence[Night], ended: Ended, problem: str | None) -> dict[str, Any]:
    night = chain.night
    past = [night.report or {} for night in before]
    last = before[-1].begun if before else None
    figures = _figures(night, reviewed(chain.sources.recorded, last))
    usual = [one["figures"] for one in past if one.get("usable")]
    rows = alarms(figures, usual, _refusals(past, ended), chain.bounds)
    rows += [Alarm("games", text) for text in _last_round(night).get("alarms", [])]
    if ended.alarm:
        rows.append(Alarm(ended.alarm, ended.reason))
    if problem:
        rows.append(Alarm("server", problem))
    return {
        "night": night.number,
        "begun": night.begun.isoformat(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "outcome": ended.outcome,
        "reason": ended.reason,
        "usable": ended.usable,
        "champion_before": night.champion,
        "champion": chain.store.pointers().champion,
        "candidate": (night.done("promote") or {}).get("candidate"),
        "figures": figures,
        "checks": (night.done("promote") or {}).get("checks", []),
        "alarms": [one.as_json() for one in rows],
    }


def _last_round(night: Night) -> Facts:
    rounds = (night.done("improve") or {}).get("rounds", [])
    return dict(rounds[-1]) if rounds else {}


def _refusals(past: Sequence[Mapping[str, Any]], ended: Ended) -> int:
    """Nights in a row in which a candidate was refused, tonight included."""
    flags = [_refused(one["outcome"], one["usable"]) for one in past] + [_refused(ended.outcome, ended.usable)]
    return next((count for count, flag in enumerate(reversed(flags)) if not flag), len(flags))


def _refused(outcome: str, usable: bool) -> bool:
    return outcome == KEPT and not usable


def _figures(night: Night, outcomes: Facts) -> dict[str, Any]:
    look, play = night.done("look") or {}, _last_round(night).get("played", {})
    lucky, chance = play.get("lucky_share"), play.get("expected_lucky_share")
    return {
        "new": (night.done("ingest") or {}).get("new"),
        **{key: look.get(key) for key in ("frames", "garbage", "drift", "drift_by_chance", "yes_share")},
        **{key: play.get(key) for key in ("games", "won", "kept", "answer_entropy", "coverage")},
        "diversity": play.get("distinct_2"),
        "luck": None if lucky is None or chance is None else lucky - chance,
        "disagreement": (night.done("verdicts") or {}).get("disagreement"),
        **outcomes,
    }
