"""What the gate looks at, one function a kind of evidence: pure; evidence that is absent gives no check."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from robo_dialog.tune.evaluation import Judged, figures_of, labels_of, slices_of
from robo_dialog.tune.evidence import Recalled, Replayed, Sides, Stance
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.gate_rules import (
    Check,
    Columns,
    above,
    columns_of,
    kappa,
    no_fall,
    not_worse,
    share_right,
    slice_held,
)
from robo_dialog.tune.metrics import balanced_accuracy

FEWEST_OF_SLICE = 10
"""Episodes of each class, or games, without which a slice tells nothing."""
SEES_NOTHING = 0.6
"""Balanced accuracy of the champion up to which a slice has nothing to lose: a camera that cannot see the outcome."""
LEAST_SHARE = 0.02
"""Share of the outcomes below which a verdict is as good as never given."""


def check_parity(problem: str) -> list[Check]:
    """Whether the export still repeats its golden samples."""
    return [Check("export parity", not problem, problem or "the golden samples are repeated")]


def check_labelled(sides: Sides[Judged] | None, limits: Limits) -> list[Check]:
    """Balanced accuracy on labelled episodes, error of the stated probabilities, and every slice."""
    if sides is None:
        return []
    labels = labels_of(sides.candidate)
    counts = int(labels.sum()), int((~labels).sum())
    if min(counts) < limits.fewest_labels:
        told = f"{counts[0]} successes and {counts[1]} failures decide nothing, {limits.fewest_labels} of each would"
        return [Check("labelled episodes", True, told)]
    columns = _of_labelled(sides)
    if sides.champion is None:
        first = above("balanced accuracy", columns, balanced_accuracy, 0.5, limits.least_accuracy, carries=True)
        return [first, *_slices(sides, limits)]
    whole = not_worse("balanced accuracy", columns, balanced_accuracy, limits.margin)
    return [whole, _calibration_error(sides.candidate, sides.champion, limits), *_slices(sides, limits)]


def check_games(sides: Sides[Replayed] | None, limits: Limits, *, decide: bool) -> list[Check]:
    """Games won with the questions of the record, by family, too, and answers of kept games given again.

    Args:
        sides: the replayed games.
        limits: how strict to be.
        decide: whether nothing more telling than games is known.
    """
    if sides is None:
        return []
    games, episodes = len(sides.candidate), len({one.episode_id for one in sides.candidate})
    if games < limits.fewest_games or episodes < limits.fewest_episodes:
        needed = f"{limits.fewest_games} about {limits.fewest_episodes}"
        return [Check("games", True, f"{games} games about {episodes} episodes decide nothing, {needed} would")]
    columns = columns_of(sides, lambda one: [(one.episode_id, True, one.won)])
    kept = _kept_answers(sides.candidate, limits)
    if sides.champion is None:
        chance = float(np.mean([one.chance for one in sides.candidate]))
        return [above("games won", columns, share_right, chance, chance, carries=True), *kept]
    won = (
        not_worse("games won", columns, share_right, limits.margin)
        if decide
        else no_fall("games won", columns, share_right, limits.fall)
    )
    families = sorted({one.family for one in sides.candidate})
    places = {name: [k for k, one in enumerate(sides.candidate) if one.family == name] for name in families}
    parts = [
        slice_held(f"games of {name!r}", columns.part(rows), share_right, limits.fall)
        for name, rows in places.items()
        if len(rows) >= FEWEST_OF_SLICE
    ]
    return [won, *parts, *kept]


def check_outcomes(sides: Sides[Stance] | None, limits: Limits) -> list[Check]:
    """Whether both verdicts occur, cameras agree, and verdicts hold under slight changes, beyond chance."""
    if sides is None:
        return []
    share = float(np.mean([one.called for one in sides.candidate]))
    told = f"{share:.1%} of {len(sides.candidate)} outcomes are called a success"
    checks = [Check("both verdicts", LEAST_SHARE <= share <= 1 - LEAST_SHARE, told, {"candidate": share})]
    for name, rows in (("cameras agree", _by_camera), ("verdicts hold", _when_changed)):
        columns = columns_of(sides, rows)
        if columns.ids and sides.champion is None:
            checks.append(above(name, columns, kappa, 0.0, 0.0, carries=False))
        elif columns.ids:
            checks.append(no_fall(name, columns, kappa, limits.fall))
    return checks


def check_anchor(sides: Sides[Recalled] | None, limits: Limits) -> list[Check]:
    """Whether what the base could do is still there."""
    if sides is None:
        return []
    columns = columns_of(sides, lambda one: [(one.image, one.right, one.said)])
    if sides.champion is None:
        return [above("anchor", columns, balanced_accuracy, 0.5, 0.5, carries=False)]
    return [no_fall("anchor", columns, balanced_accuracy, limits.anchor_fall)]


def check_latency(sides: Sides[float] | None, limits: Limits) -> list[Check]:
    """Whether a verdict takes about as long as before: medians of the same requests."""
    if sides is None or sides.champion is None:
        return []
    mine, theirs = float(np.median(sides.candidate)), float(np.median(sides.champion))
    told = f"{1e3 * mine:.1f} ms against {1e3 * theirs:.1f} ms; {limits.slowest:g} times as long is allowed"
    figures = {"candidate_ms": 1e3 * mine, "champion_ms": 1e3 * theirs}
    return [Check("latency", mine <= limits.slowest * theirs, told, figures)]


def _slices(sides: Sides[Judged], limits: Limits) -> list[Check]:
    """Families, cameras alone and places that are large enough, and in which there is something to lose."""
    mine, theirs = slices_of(sides.candidate), slices_of(sides.champion or ())
    checks = []
    for kind, groups in mine.items():
        for name, some in groups.items():
            labels = labels_of(some)
            if min(labels.sum(), (~labels).sum()) < FEWEST_OF_SLICE:
                continue
            champion = theirs[kind][name] if sides.champion is not None else None
            columns = _of_labelled(Sides(some, champion))
            if champion is None and kind == "family":
                checks.append(above(f"{kind} {name!r}", columns, balanced_accuracy, 0.0, 0.5, carries=False))
            elif columns.champion is not None and balanced_accuracy(*columns.champion) > SEES_NOTHING:
                checks.append(slice_held(f"{kind} {name!r}", columns, balanced_accuracy, limits.fall))
    return checks


def _calibration_error(mine: Sequence[Judged], theirs: Sequence[Judged], limits: Limits) -> Check:
    own, other = figures_of(mine, draws=1).ece, figures_of(theirs, draws=1).ece
    told = f"{own:.3f} against {other:.3f}; {limits.fall:+.3f} is allowed"
    return Check("calibration error", own <= other + limits.fall, told, {"candidate": own, "champion": other})


def _kept_answers(games: Sequence[Replayed], limits: Limits) -> list[Check]:
    """No comparison: who played the games has given these answers himself, and they are not all right."""
    kept = [one for one in games if one.kept]
    rows = [(a, b) for one in kept for a, b in zip(one.recorded, one.answered, strict=True)]
    if len(kept) < FEWEST_OF_SLICE:
        return []
    recorded, answered = (np.array(column, np.bool_) for column in zip(*rows, strict=True))
    share = balanced_accuracy(recorded, answered)
    told = f"{share:.3f} of {len(rows)} answers are given again (balanced); {limits.least_kept:.3f} is needed"
    return [Check("kept answers", not share < limits.least_kept, told, {"candidate": share, "n": len(rows)})]


def _of_labelled(sides: Sides[Judged]) -> Columns:
    return columns_of(sides, lambda one: [(one.episode_id, one.success, one.seen.called)])


def _by_camera(one: Stance) -> list[tuple[str, bool, bool]]:
    return [(one.episode_id, a, b) for a, b in combinations(one.cameras.values(), 2)]


def _when_changed(one: Stance) -> list[tuple[str, bool, bool]]:
    return [(one.episode_id, one.called, other) for other in one.changed]
