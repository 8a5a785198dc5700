"""Simulated episodes that training never saw, as a VLM judges them: for calibration and for the figures of `tiny`.

Reads ground-truth labels; never used by play, filters or label-free tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robo_dialog.detect.calibration import Calibration
from robo_dialog.tune.calibrate import LabelledEpisode, episode_probabilities, fit_temperatures, log_loss
from robo_dialog.vlm.prompts import ANSWERS, success_question
from robo_dialog.vlm.protocol import VLM, Image, Message
from robo_episodes.sim.domains import DOMAINS
from robo_episodes.sim.episode import Split, Stream, simulate
from robo_episodes.sim.render import CAMERAS, Camera
from robo_episodes.sim.state import Goal, State
from robo_episodes.sim.world import World

START_AND_END = 10**9
"""A sampling interval that no episode reaches."""

WRIST_WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Outcome:
    """The end of one episode: a frame (96, 96, 3) per camera, what was asked, what is true, how it was attempted."""

    frames: dict[str, Image]
    goal: Goal
    state: State
    attempt: str

    @property
    def success(self) -> bool:
        """Whether the instruction is fulfilled."""
        return self.goal.reached(self.state)


def outcomes(domain: str, split: Split, seed: int, count: int) -> list[Outcome]:
    """Final frames of `count` simulated episodes."""
    world, stream = World(), Stream(DOMAINS[domain], split, seed)
    camera = Camera(world)
    found = []
    for index in range(count):
        episode = simulate(world, camera, stream, index, every=START_AND_END)
        frames = {name: images[-1] for name, images in episode.frames.items()}
        attempt = episode.start.attempt
        found.append(Outcome(frames, attempt.goal, episode.final, attempt.intent))
    return found


def judged(vlm: VLM, episodes: Sequence[Outcome]) -> list[LabelledEpisode]:
    """Success margins of every camera's final frame, in logits, beside the labels."""
    prompts = [
        (Message("user", success_question(one.goal.text()), (one.frames[name],)),)
        for one in episodes
        for name in CAMERAS
    ]
    scores = vlm.score(prompts, ANSWERS)
    margins = (scores[:, 1] - scores[:, 0]).reshape(len(episodes), len(CAMERAS))
    return [
        LabelledEpisode(tuple(row.tolist()), one.success, one.goal.text(), CAMERAS)
        for one, row in zip(episodes, margins, strict=True)
    ]


def wrist_weight(episodes: Sequence[LabelledEpisode]) -> float:
    """The weight of the wrist camera, which often cannot see the outcome, that gives the least log loss."""
    labels = np.array([episode.success for episode in episodes])
    losses = {}
    for weight in WRIST_WEIGHTS:
        plain = Calibration(camera_weights={"wrist": weight})
        temperatures, bias = fit_temperatures(episodes, plain)
        fitted = Calibration(temperatures=temperatures, bias=bias, camera_weights={"wrist": weight})
        losses[weight] = log_loss(labels, episode_probabilities(episodes, fitted))
    return min(losses, key=lambda weight: losses[weight])
