"""The table of the Meta-World benchmark, from verdicts on labelled episodes. Reads labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from robo_dialog.detect.detector import Detector
from robo_dialog.tune.evaluation import Judged, compare, labels_of
from robo_dialog.tune.evaluation import figures_of as figures_of_some
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.metrics import balanced_accuracy, bootstrap_interval
from robo_dialog.tune.passes import looked, views_of
from robo_episodes.pool import FramePool
from robo_episodes.pool_metadata import read_metadata

Arm = Literal["base", "recalibrated", "improved", "last_round", "supervised"]
NOTES: dict[Arm, str] = {
    "base": "taught the source tasks with labels, thresholds from labelled source episodes",
    "recalibrated": "the same, cameras fused and thresholds found without labels; nothing learned",
    "improved": "after the last round that passed its gate, without labels",
    "last_round": "after the last round, which need not have passed its gate: for judging the gate",
    "supervised": "upper bound: true labels of the same episodes, the same steps",
}
FIGURES = {
    "balanced_accuracy": "balanced accuracy, ends of its 95 % interval, recalls of both classes",
    "auroc": "area under the ROC curve, all tasks together",
    "near_miss_fpr": "near misses that were called a success",
    "ranking_share": "scenes in which P(success) of cut-off attempt < near miss < success; chance is 1/6",
}


@dataclass(frozen=True)
class Verdicts:
    """What a detector made of labelled episodes."""

    episodes: Sequence[Judged]
    """`episode_id` is that of the scene: attempts at one scene are drawn together, they are one piece of evidence."""
    attempts: Sequence[str]
    """How each one was meant."""
    tasks: Sequence[str]


def judged(bundle: Path, pool: FramePool) -> Verdicts:
    """The verdicts of a bundle on a labelled pool."""
    judge, metadata = BundleJudge(Detector.load(bundle)), read_metadata(pool.path)
    views = replace(views_of(pool), beginnings={})
    with looked(judge, pool, views, judge.calibration, None, bundle.name) as margins:
        episodes = judged_episodes(pool, views, judge.calibration, margins)
    told = [metadata[one.episode_id] for one in episodes]
    return Verdicts(
        [replace(one, episode_id=f"{m['task']} {m['scene']}") for one, m in zip(episodes, told, strict=True)],
        [str(m["attempt"]) for m in told],
        [str(m["task"]).removesuffix("-v3") for m in told],
    )


def ranked(verdicts: Verdicts) -> dict[str, bool]:
    """By scene, whether the cut-off attempt, the near miss and the success are ranked so; of scenes that have all."""
    scores: dict[str, dict[str, float]] = {}
    wanted = {"cut": False, "near_miss": False, "success": True}
    for one, attempt in zip(verdicts.episodes, verdicts.attempts, strict=True):
        if wanted.get(attempt) is one.success:
            scores.setdefault(one.episode_id, {})[attempt] = one.seen.probability
    whole = {scene: found for scene, found in scores.items() if len(found) == len(wanted)}
    return {scene: found["cut"] < found["near_miss"] < found["success"] for scene, found in whole.items()}


def figures_of(arms: Mapping[Arm, Verdicts]) -> tuple[dict[str, float], dict[str, str]]:
    """All figures, rounded, and what they are."""
    figures: dict[str, float] = {}
    notes: dict[str, str] = {}
    for arm, verdicts in arms.items():
        own = {**_whole(verdicts.episodes), **_ranking(verdicts)}
        figures |= {f"{arm}_{name}": value for name, value in own.items()}
        notes |= {f"{arm}_{name}": f"{text}; {NOTES[arm]}" for name, text in FIGURES.items()}
    base, improved = arms["base"].episodes, arms["improved"].episodes
    gain, over = compare(improved, base), compare(improved, arms["recalibrated"].episodes)
    figures |= {"gain": gain.difference, "gain_lo": gain.interval[0], "gain_hi": gain.interval[1]}
    figures |= {"gain_over_recalibrated": over.difference, "gain_over_recalibrated_lo": over.interval[0]}
    figures |= {"gain_over_recalibrated_hi": over.interval[1], "mcnemar_p": gain.test.p_value}
    figures |= {"ranking_share": figures["improved_ranking_share"], "episodes": len(base)}
    figures |= {"successes": int(labels_of(base).sum()), "scenes": len({one.episode_id for one in base})}
    for arm in ("base", "improved", "supervised"):
        figures |= {f"{arm}_{name.replace('-', '_')}": value for name, value in _by_task(arms[arm]).items()}
    notes |= {
        "gain": "balanced accuracy, improved minus base, with its 95 % interval over scenes",
        "gain_over_recalibrated": "improved minus recalibrated: tuning alone",
        "mcnemar_p": "improved against base",
        "ranking_share": "that of `improved`",
        "episodes": "judged; four of a scene, fewer where the scripted policy fails",
    }
    return {name: round(float(value), 4) for name, value in figures.items()}, notes


def _whole(episodes: Sequence[Judged]) -> dict[str, float]:
    found = figures_of_some(episodes)
    low, high = found.interval
    names = ("balanced_accuracy", "recall_success", "recall_failure", "auroc", "ece", "near_miss_fpr")
    return {**{name: getattr(found, name) for name in names}, "lo": low, "hi": high}


def _ranking(verdicts: Verdicts) -> dict[str, float]:
    found = ranked(verdicts)
    right = np.array([*found.values()], np.float64)

    def share(rows: npt.NDArray[np.intp]) -> float:
        return float(right[rows].mean())

    low, high = bootstrap_interval(share, [*found])
    return {"ranking_share": float(right.mean()), "ranking_lo": low, "ranking_hi": high}


def _by_task(verdicts: Verdicts) -> dict[str, float]:
    """Balanced accuracy by task."""
    labels = labels_of(verdicts.episodes)
    called = np.array([one.seen.called for one in verdicts.episodes])
    tasks = np.array(verdicts.tasks)
    return {name: balanced_accuracy(labels[tasks == name], called[tasks == name]) for name in sorted(set(tasks))}
