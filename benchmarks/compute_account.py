"""What is computation better spent on: games beforehand, or more looks at every verdict?

    python benchmarks/compute_account.py [--seeds 0] [--looks 1 2 4 8 16]

Runs of benchmarks/self_improvement.py of the same seeds come first. The untrained detector, fused and calibrated
without labels, looks at every final frame again and again, slightly changed each time, and averages; beside it the
detector of the first round of games. Costs are counted in answers: one forward pass over an image and a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from improvement_arms import Arm, Lab
from record import record
from robo_dialog.detect.detector import Detector
from robo_dialog.models import embedded_model
from robo_dialog.play.bank import GROUPS, TIMES, answers_in
from robo_dialog.play.dialog import read_dialogs
from robo_dialog.play.rows import settled
from robo_dialog.play.run_folder import ANSWERS, DIALOGS
from robo_dialog.tune.evaluation import Evaluation, evaluate
from robo_dialog.tune.judged import judged_episodes
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.margins import Margins
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.vlm.prompts import ANSWERS as WORDS
from robo_dialog.vlm.prompts import success_question
from robo_dialog.vlm.protocol import Message
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.pool import FramePool

ARMS: tuple[tuple[str, Arm, int], ...] = (("untrained", "recalibrated", 0), ("games", "cross_view", 1))
"""Name in the results, arm and round."""
BACKWARD = 2
"""Cost of a backward pass, in forward passes."""
NOTES = {
    "gigaflop_an_answer": "one forward pass of `tiny` over an image and a question",
    "answers_of_a_round": "what a round of games and tuning costs, in answers: bank, thinking of questions, three "
    "passes for every answer in a tuning step",
    "break_even_verdicts": "verdicts after which the round was cheaper than 4 looks at every frame, three cameras",
}


@dataclass(frozen=True)
class Options:
    """What is compared."""

    seeds: tuple[int, ...] = (0,)
    looks: tuple[int, ...] = (1, 2, 4, 8, 16)
    """At every final frame: itself, and slightly changed."""
    episodes: int = 2100
    judged: int = 500
    games: int = 60_000
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its pools, games and detectors."""


def main(options: Options) -> None:
    """Look, count, write."""
    found: dict[str, list[float]] = {}
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, options.judged, options.games)
        for name, arm, number in ARMS:
            for looks, one in _judged(lab, lab.folder(arm, number) / "bundle", options.looks):
                found.setdefault(f"{name}_{looks}_looks_balanced_accuracy", []).append(one.whole.balanced_accuracy)
                found.setdefault(f"{name}_{looks}_looks_auroc", []).append(one.whole.auroc)
        found.setdefault("answers_of_a_round", []).append(_answers_of_a_round(lab))
    figures = {name: float(np.mean(values)) for name, values in found.items()}
    figures["break_even_verdicts"] = figures["answers_of_a_round"] / (3 * len(lab.finals[0].frames))
    figures["gigaflop_an_answer"] = _flop_an_answer(lab) / 1e9
    figures["seeds"] = len(options.seeds)
    record("compute_account", {key: round(value, 4) for key, value in figures.items()}, NOTES)


def _judged(lab: Lab, bundle: Path, looks: tuple[int, ...]) -> Iterator[tuple[int, Evaluation]]:
    pool, judge = FramePool.open(lab.judged_pool("target")), BundleJudge(Detector.load(bundle))
    views = replace(views_of(pool, augmentations=max(looks) - 1), beginnings={})
    with looked(judge, pool, views, judge.calibration, None, f"{max(looks)} looks") as margins:
        for count in looks:
            averaged = _averaged(margins, count)
            plain = replace(views, augmentations=0)
            yield count, evaluate(judged_episodes(pool, plain, judge.calibration, averaged))


def _averaged(margins: Margins, looks: int) -> Margins:
    """Margins of frames as recorded, each replaced by the mean over so many looks at it."""
    known = margins.known
    plain = [query for query in known if query.augmentation is None]
    sights: list[int | None] = [None, *range(looks - 1)]
    means = {query: float(np.mean([known[replace(query, augmentation=one)] for one in sights])) for query in plain}
    return Margins(margins.model, means)


def _answers_of_a_round(lab: Lab) -> float:
    """Bank, questions thought of, and tuning."""
    games, tune = lab.folder("cross_view", 1) / "games", lab.settings.tune
    thought = GROUPS * (lab.settings.play.rules.candidates + TIMES * lab.settings.play.questions.samples)
    learned = settled(one for one in read_dialogs(games / DIALOGS) if one.kept)
    images = {episode for episode, _, _ in learned}
    each = min(tune.questions, len(learned) / len(images))
    return len(answers_in(games / ANSWERS)) + thought + (1 + BACKWARD) * tune.steps * tune.batch * each


def _flop_an_answer(lab: Lab) -> float:
    """Floating point operations of one forward pass over an image and a question."""
    vlm, rng = TransformersVLM(embedded_model(), device="cpu"), np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 96, 96, 3), np.uint8)
    question = success_question(lab.finals[0].instruction)
    prompts = [(Message("user", question, (image,)),) for image in images]
    vlm.score(prompts, WORDS)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        vlm.score([(Message("user", question, (255 - image,)),) for image in images], WORDS)
    return float(counter.get_total_flops()) / len(images)


if __name__ == "__main__":
    main(tyro.cli(Options))
