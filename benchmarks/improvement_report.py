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
    "gain_points": "whole detector, last round of cross_view minus base as shipped, points of balanced accuracy",
    "gain_over_recalibrated_points": "the same minus the base fused and calibrated in the same way: tuning alone",
    "tuning_share_of_upper_bound": "share of the distance from recalibrated base to supervised that tuning closes",
    "state_gain_points": "yes/no state questions, single views, points",
    "state_share_of_upper_bound": "share of the distance from base to supervised that is closed",
    "worst_seed_gain": "the seed that gains least, points, whole detector",
    "worst_family_gain": "the family of instructions that gains least, mean over seeds, points",
    "source_change": "balanced accuracy on source after the last round minus that of the base as shipped, points",
}


def write_report(path: Path) -> None:
    """Write results/self_improvement.json and .md."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    figures: dict[str, float] = {"seeds": len({run["seed"] for run in runs if run["arm"] == "cross_view"})}
    for arm, number in sorted({(run["arm"], run["round"]) for run in runs}):
        same = [run for run in runs if (run["arm"], run["round"]) == (arm, number)]
        name = f"{arm}_r{number}"
        values = [run["target_balanced_accuracy"] for run in same]
        low, high = interval(values)
        figures |= {f"{name}_balanced_accuracy": float(np.mean(values)), f"{name}_lo": low, f"{name}_hi": high}
        figures |= {
            f"{name}_{key}": float(np.mean([run[source] for run in same]))
            for key, source in (("auroc", "target_auroc"), ("state_accuracy", "state_accuracy"))
        }
        if "answers_right" in same[0]:
            figures[f"{name}_answers_right"] = float(np.mean([run["answers_right"] for run in same]))
    figures |= _claims(runs)
    known = {key: round(value, 4) for key, value in figures.items() if np.isfinite(value)}
    record("self_improvement", known, NOTES)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the mean over seeds, by Student's t; NaN for a single seed."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = STUDENT_T[min(len(values) - 2, len(STUDENT_T) - 1)] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _claims(runs: Sequence[Run]) -> dict[str, float]:
    """What is claimed, over the seeds that have all that it takes."""
    last = max((run["round"] for run in runs if run["arm"] == "cross_view"), default=0)
    by = {(run["arm"], run["round"], run["seed"]): run for run in runs}
    upper = max((run["round"] for run in runs if run["arm"] == "supervised"), default=0)
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
