"""What the embedded model `tiny` can do, on simulated episodes that it never saw.

    python benchmarks/tiny.py [--episodes 400] [--model DIR --bundle DIR]

Success figures are verdicts of the served detector (all cameras of the final step fused, the bundle's calibration and
threshold); state, guessing and asking figures are of single views through transformers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from record import record
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.verdict import Frame
from robo_dialog.models import embedded_bundle, embedded_model
from robo_dialog.pretrain.held_out import Outcome, outcomes
from robo_dialog.pretrain.measure import (
    likelihood_guess_accuracy,
    oracle_games,
    prompt_guess_accuracy,
    state_accuracy,
    wellformed_share,
)
from robo_dialog.tune.metrics import (
    auroc,
    balanced_accuracy,
    bootstrap_interval,
    expected_calibration_error,
    near_miss_false_positive_rate,
    recalls,
)
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.images import encode_png

SEED = 0
GAMES = 300

NOTES = {
    "source_balanced_accuracy": "success verdicts, cameras fused, unseen source episodes",
    "source_near_miss_fpr": "near misses called a success",
    "source_state_accuracy": "yes/no state questions, half of them yes, single front and side views",
    "source_guess_accuracy": "target found among 4 from a dialog of 3 true answers, likelihood Guesser; chance 0.25",
    "source_prompt_guess_accuracy": "the same by one multi-image prompt; chance 0.25",
    "wellformed_questions": "sampled questions (temperature 1) that are in the grammar of the world, letter by letter",
    "target_balanced_accuracy": "as source, another table, lamp, paint and bumped cameras: the headroom",
    "far_balanced_accuracy": "as target, further away",
    "parameters": "weights of the model",
    "bundle_mb": "size of the detector bundle, MB",
    "detect_p50_ms": "one verdict on three PNG frames, decoding included, two threads, median",
}


@dataclass(frozen=True)
class Options:
    """Which model is measured and how thoroughly."""

    episodes: int = 400
    """Evaluation episodes per domain."""
    model: Path | None = None
    """Checkpoint folder; the embedded one if left out."""
    bundle: Path | None = None
    """Bundle folder; the embedded one if left out."""
    write: bool = True
    """Write benchmarks/results/tiny.json and .md."""


def main(options: Options) -> None:
    """Measure all domains and write the results."""
    model, bundle = options.model or embedded_model(), options.bundle or embedded_bundle()
    vlm, detector = TransformersVLM(model, device="cpu"), Detector.load(bundle)
    figures: dict[str, float] = {}
    for domain in ("source", "target", "far"):
        episodes = outcomes(domain, "evaluation", SEED, options.episodes)
        figures |= {f"{domain}_{key}": value for key, value in verdict_figures(detector, episodes).items()}
        figures[f"{domain}_state_accuracy"] = state_accuracy(vlm, episodes, seed=SEED)
        games = oracle_games(episodes, seed=SEED, count=GAMES)
        figures[f"{domain}_guess_accuracy"] = likelihood_guess_accuracy(vlm, games)
        if domain == "source":
            figures["source_prompt_guess_accuracy"] = prompt_guess_accuracy(vlm, games)
            figures["wellformed_questions"] = wellformed_share(vlm, games, seed=SEED)
            figures["detect_p50_ms"] = latency(detector, episodes)
    figures["parameters"] = vlm.parameters
    figures["bundle_mb"] = sum(path.stat().st_size for path in bundle.iterdir()) / 1e6
    rounded = {key: round(float(value), 4) for key, value in figures.items()}
    Console().print(rounded)
    if options.write:
        record("tiny", rounded, NOTES)


def verdict_figures(detector: Detector, episodes: list[Outcome]) -> dict[str, float]:
    """Success figures of one domain, with a 95 % interval over episodes and each camera alone."""
    verdicts = [detector.verdict(as_frames(one), one.goal.text()) for one in episodes]
    labels = np.array([one.success for one in episodes])
    probabilities = np.array([verdict.probability for verdict in verdicts])
    called = np.array([verdict.probability >= verdict.threshold for verdict in verdicts])
    both = recalls(labels, called)
    near = np.array([one.attempt == "near_miss" for one in episodes])
    low, high = bootstrap_interval(
        lambda rows: balanced_accuracy(labels[rows], called[rows]), [str(i) for i in range(len(episodes))]
    )
    cameras = {
        f"{name}_balanced_accuracy": balanced_accuracy(
            labels, np.array([verdict.frame_probabilities[i] >= verdict.threshold for verdict in verdicts])
        )
        for i, name in enumerate(episodes[0].frames)
    }
    families = sorted({one.goal.family for one in episodes})
    by_family = {}
    for family in families:
        rows = np.array([one.goal.family == family for one in episodes])
        by_family[f"{family}_balanced_accuracy"] = balanced_accuracy(labels[rows], called[rows])
    return {
        "balanced_accuracy": balanced_accuracy(labels, called),
        "lo": low,
        "hi": high,
        "recall_success": both.success,
        "recall_failure": both.failure,
        "auroc": auroc(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
        "near_miss_fpr": near_miss_false_positive_rate(labels, called, near),
        "abstained": float(np.mean([verdict.outcome.name == "UNCERTAIN" for verdict in verdicts])),
        **cameras,
        **by_family,
    }


def as_frames(one: Outcome) -> list[Frame]:
    """The final frames as a client sends them."""
    return [Frame(encode_png(image), camera) for camera, image in one.frames.items()]


def latency(detector: Detector, episodes: list[Outcome], repeats: int = 200) -> float:
    """Median milliseconds of one verdict, frames already encoded."""
    requests = [(as_frames(one), one.goal.text()) for one in episodes[:50]]
    times = []
    for i in range(repeats):
        frames, instruction = requests[i % len(requests)]
        started = time.perf_counter()
        detector.verdict(frames, instruction)
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))


if __name__ == "__main__":
    main(tyro.cli(Options))
