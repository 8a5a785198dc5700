"""What calibration without labels is worth: the embedded model on simulated pools of three domains.

    python benchmarks/calibration.py [--episodes 600]

Calibrated on one pool, whose labels nobody reads, and measured on another that shares no episode with it; both are of
the embedded bundle as it is served, all cameras fused. Labels are read for the figures alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from record import record
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.detector import Detector
from robo_dialog.models import embedded_bundle
from robo_dialog.tune.evaluation import Comparison, Figures, Judged, compare, evaluate
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.tune.subjects import read_paraphrases
from robo_dialog.tune.unlabelled import calibrate_without_labels
from robo_episodes.commands import Ingest
from robo_episodes.pool import FramePool
from robo_episodes.sim.command import Simulate
from robo_episodes.sim.state import WORDINGS

DOMAINS = ("source", "target", "far")
AUGMENTATIONS = 2
NOTES = {
    "balanced_accuracy_shipped": "as the embedded bundle is",
    "balanced_accuracy": "calibrated without labels on another pool of the domain",
    "gain": "difference, with its 95 % interval over episodes",
    "auroc": "after; a threshold for all alone could not change it",
    "ece": "after; stated probability against share of successes",
}


@dataclass(frozen=True)
class Options:
    """How much is simulated."""

    episodes: int = 600
    """Episodes of each pool."""
    seed: int = 61
    work: Path = Path("runs/benchmark-calibration")
    """Folder of pools and margins; what is there is used again."""
    write: bool = True
    """Write benchmarks/results/calibration.json and .md."""


def main(options: Options) -> None:
    """Calibrate and measure every domain, write the results."""
    judge = BundleJudge(Detector.load(embedded_bundle()))
    figures: dict[str, float] = {}
    for domain in DOMAINS:
        calibration = calibrated(judge, make_pool(options, domain, "train"), options)
        held_out = make_pool(options, domain, "evaluation")
        shipped = judged(judge, held_out, judge.calibration, options)
        now = judged(judge, held_out, calibration, options)
        figures |= {f"{domain}_{key}": value for key, value in comparison_of(shipped, now).items()}
        Console(stderr=True).print(domain, calibration.method)
    rounded = {key: round(float(value), 4) for key, value in figures.items()}
    Console().print(rounded)
    if options.write:
        record("calibration", rounded, {f"{domain}_{key}": note for domain in DOMAINS for key, note in NOTES.items()})


def make_pool(options: Options, domain: str, split: str) -> FramePool:
    """Final frames of one split of one domain."""
    recording = options.work / f"{domain}-{split}.hdf5"
    if not recording.exists():
        Simulate(recording, domain=domain, episodes=options.episodes, seed=options.seed, split=split, every=10**9).run()
    pool = options.work / f"pool-{domain}-{split}"
    Ingest((recording,), out=pool).run()
    return FramePool.open(pool)


def calibrated(judge: BundleJudge, pool: FramePool, options: Options) -> Calibration:
    """A calibration from views, paraphrases and augmentations; reads no label."""
    paraphrases = read_paraphrases(write_paraphrases(options.work / "paraphrases.yaml"))
    views = views_of(pool, paraphrases=paraphrases, augmentations=AUGMENTATIONS)
    with looked(judge, pool, views, judge.calibration, options.work / "margins", f"asking {pool.path.name}") as margins:
        return calibrate_without_labels(views, judge.calibration, margins).calibration


def write_paraphrases(path: Path) -> Path:
    """The simulator's other wordings, as a user would list them."""
    said = [[text.format(moved="{a} {b}", below="{c} {d}") for text in wordings] for wordings in WORDINGS.values()]
    path.write_text("".join(f"- {group}\n" for group in said))
    return path


def judged(judge: BundleJudge, pool: FramePool, calibration: Calibration, options: Options) -> list[Judged]:
    """Labelled episodes as the bundle would judge them with this calibration."""
    views = views_of(pool)
    with looked(judge, pool, views, calibration, options.work / "margins", f"asking {pool.path.name}") as margins:
        return judged_episodes(pool, views, calibration, margins)


def comparison_of(shipped: Sequence[Judged], now: Sequence[Judged]) -> Mapping[str, float]:
    """Before and after, whole and by family."""
    before, after, difference = evaluate(shipped), evaluate(now), compare(now, shipped)
    return {
        **pair(before.whole, after.whole),
        **interval(difference),
        **{
            f"{name.split()[0]}_{key}": value
            for name, figures in after.by_family.items()
            for key, value in pair(before.by_family[name], figures).items()
        },
    }


def pair(before: Figures, after: Figures) -> Mapping[str, float]:
    """The figures that calibration can move."""
    return {
        "balanced_accuracy_shipped": before.balanced_accuracy,
        "balanced_accuracy": after.balanced_accuracy,
        "auroc_shipped": before.auroc,
        "auroc": after.auroc,
        "ece_shipped": before.ece,
        "ece": after.ece,
    }


def interval(difference: Comparison) -> Mapping[str, float]:
    """The gain in balanced accuracy and its interval."""
    return {"gain": difference.difference, "gain_lo": difference.interval[0], "gain_hi": difference.interval[1]}


if __name__ == "__main__":
    main(tyro.cli(Options))
