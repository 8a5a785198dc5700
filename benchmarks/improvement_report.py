"""From the runs of the study to its table: means over seeds with 95 % intervals, by arm and round."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from record import record

STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles for 1 to 9 degrees of freedom."""
Run = Mapping[str, Any]
NOTES = {
    "rounds": "the last round of cross_view that all seeds have, to which everything below refers",
    "gain_points": "whole detector, that round of cross_view minus base as shipped, points of balanced accuracy",
    "gain_over_recalibrated_points": "the same minus the base fused and calibrated in the same way: tuning alone",
    "tuning_share_of_upper_bound": "share of the distance from recalibrated base to supervised that tuning closes",
    "state_gain_points": "yes/no state questions, single views, points",
    "state_share_of_upper_bound": "share of the distance from base to supervised that is closed",
    "worst_seed_gain": "the seed that gains least, points, whole detector",
    "worst_family_gain": "the family of instructions that gains least, mean over seeds, points",
    "labels_to_match": "labelled episodes from which a ResNet-18 trained from scratch is as good as the last round "
    "of games; left out where the most that were tried are not enough",
    "source_change": "balanced accuracy on source after the last round minus that of the base as shipped, points",
}


def write_report(path: Path) -> None:
    """Write the .json and .md beside a file of runs."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    figures: dict[str, float] = {"seeds": len({run["seed"] for run in runs if run["arm"] == "cross_view"})}
    for arm, number in sorted({(run["arm"], run["round"]) for run in runs}):
        same = [run for run in runs if (run["arm"], run["round"]) == (arm, number)]
        name = f"{arm}_r{number}"
        values = [run["target_balanced_accuracy"] for run in same]
        low, high = np.clip(interval(values), 0.0, 1.0).tolist()
        figures |= {f"{name}_balanced_accuracy": float(np.mean(values)), f"{name}_lo": low, f"{name}_hi": high}
        figures[f"{name}_seeds"] = len(values)
        figures |= {
            f"{name}_{key}": float(np.mean([run[source] for run in same]))
            for key, source in (("auroc", "target_auroc"), ("state_accuracy", "state_accuracy"))
        }
        if "answers_right" in same[0]:
            figures[f"{name}_answers_right"] = float(np.mean([run["answers_right"] for run in same]))
    figures |= _claims(runs)
    if (reached := _last(runs)) is not None:
        figures["labels_to_match"] = labels_to_match(path.with_name("labels_needed.jsonl"), reached)
    known = {key: round(value, 4) for key, value in figures.items() if np.isfinite(value)}
    record(path.stem, known, NOTES)


def _last(runs: Sequence[Run]) -> float | None:
    """Balanced accuracy of the last round of games."""
    last = last_round(runs)
    values = [run["target_balanced_accuracy"] for run in runs if (run["arm"], run["round"]) == ("cross_view", last)]
    return float(np.mean(values)) if values else None


def last_round(runs: Sequence[Run], arm: str = "cross_view") -> int:
    """The last round of an arm that every seed has that has any; 0 if there is none."""
    done: dict[int, int] = {}
    for run in runs:
        if run["arm"] == arm:
            done[run["seed"]] = max(run["round"], done.get(run["seed"], 0))
    return min(done.values(), default=0)


def labels_to_match(path: Path, wanted: float) -> float:
    """Labelled episodes from which a classifier reaches a balanced accuracy, between the sizes tried by the logarithm.

    NaN where none was tried; infinite where the largest size does not reach it.
    """
    if not path.exists():
        return float("nan")
    tried: dict[int, list[float]] = {}
    for one in map(json.loads, path.read_text().splitlines()):
        tried.setdefault(one["episodes"], []).append(one["balanced_accuracy"])
    sizes = sorted(tried)
    means = [float(np.mean(tried[size])) for size in sizes]
    place = next((place for place, mean in enumerate(means) if mean >= wanted), None)
    if not place:
        return float("inf") if place is None else float(sizes[0])
    share = (wanted - means[place - 1]) / (means[place] - means[place - 1])
    return float(np.exp(np.interp(share, (0, 1), np.log(sizes[place - 1 : place + 1]))))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the mean over seeds, by Student's t; NaN for a single seed."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = STUDENT_T[min(len(values) - 2, len(STUDENT_T) - 1)] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _claims(runs: Sequence[Run]) -> dict[str, float]:
    """What is claimed, over the seeds that have all that it takes."""
    last = last_round(runs)
    by = {(run["arm"], run["round"], run["seed"]): run for run in runs}
    upper = last_round(runs, "supervised")
    wanted = (("base", 0), ("recalibrated", 0), ("cross_view", last), ("supervised", upper))
    seeds = [s for s in {run["seed"] for run in runs} if last and upper and all((*one, s) in by for one in wanted)]
    if not seeds:
        return {}
    base, recalibrated, tuned, top = ([by[(*one, seed)] for seed in seeds] for one in wanted)
    accuracy, state = "target_balanced_accuracy", "state_accuracy"
    gains = [100 * (b[accuracy] - a[accuracy]) for a, b in zip(base, tuned, strict=True)]
    families = base[0]["target_by_family"]
    by_family = {
        name: np.mean(
            [b["target_by_family"][name] - a["target_by_family"][name] for a, b in zip(base, tuned, strict=True)]
        )
        for name in families
    }
    low, high = interval(gains)
    return {
        "rounds": last,
        "gain_points": float(np.mean(gains)),
        "gain_lo": low,
        "gain_hi": high,
        "gain_over_recalibrated_points": 100 * _mean(tuned, accuracy) - 100 * _mean(recalibrated, accuracy),
        "tuning_share_of_upper_bound": _share(recalibrated, tuned, top, accuracy),
        "state_gain_points": 100 * (_mean(tuned, state) - _mean(base, state)),
        "state_share_of_upper_bound": _share(base, tuned, top, state),
        "worst_seed_gain": min(gains),
        "worst_family_gain": 100 * float(min(by_family.values())),
        "source_change": 100 * (_mean(tuned, "source_balanced_accuracy") - _mean(base, "source_balanced_accuracy")),
    }


def _mean(runs: Sequence[Run], key: str) -> float:
    return float(np.mean([run[key] for run in runs]))


def _share(low: Sequence[Run], reached: Sequence[Run], high: Sequence[Run], key: str) -> float:
    return (_mean(reached, key) - _mean(low, key)) / (_mean(high, key) - _mean(low, key))
