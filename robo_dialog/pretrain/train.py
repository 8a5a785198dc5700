"""Trains `tiny` from scratch: first the vision tower on dense labels, then everything on questions, captions and games.

Starting with the dense labels is what makes it possible: questions alone leave a random vision tower at the majority
answer for thousands of steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F
from transformers import SmolVLMForConditionalGeneration

from robo_dialog.pretrain.architecture import VISION_WIDTH, build
from robo_dialog.pretrain.checkpoint import read_checkpoint, write_checkpoint
from robo_dialog.pretrain.data import Frames
from robo_dialog.pretrain.dense import PLACES, THINGS
from robo_dialog.pretrain.lessons import CANDIDATES, game_rows, image_rows
from robo_dialog.pretrain.optimiser import Optimiser
from robo_dialog.pretrain.packing import Packer, Row, forward, image_features
from robo_dialog.pretrain.recipe import Recipe, Stage
from robo_episodes.sim.render import PARTS

CHECKPOINT_EVERY = 250
NOTHING_WEIGHT = 0.15
"""Weight of patches that show nothing in the dense losses; most patches do."""


@dataclass(frozen=True)
class Progress:
    """One step's losses and the share of right first answer tokens, over questions only."""

    stage: str
    step: int
    loss: float
    accuracy: float
    seconds: float


class Trainer:
    """Weights in bfloat16 with float32 masters (the fastest exact-enough way on a CPU), one-cycle rate; on a GPU if
    there is one.

    Every step's data is a pure function of (seed, stage, step), so that a resumed run equals an uninterrupted one.
    """

    def __init__(self, recipe: Recipe, frames: Frames, folder: Path, *, compiled: bool = False) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.frames = recipe, frames
        self._checkpoint = folder / "checkpoint.safetensors"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.processor = build(recipe.seed, recipe.text)
        heads = {
            "things": torch.nn.Linear(VISION_WIDTH, len(THINGS)),
            "places": torch.nn.Linear(VISION_WIDTH, len(PLACES)),
        }
        self.dense = torch.nn.ModuleDict(heads).to(self._device)
        self.model.to(self._device)
        self._parameters = dict([*self.model.named_parameters(), *self.dense.named_parameters()])
        self._master = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.model.to(torch.bfloat16).train()
        self.dense.to(torch.bfloat16)
        if compiled:
            for layer in [*self.model.model.vision_model.encoder.layers, *self.model.model.text_model.layers]:
                layer.compile()
        self._packer = Packer(self.processor.tokenizer)
        self._image_token = int(self.model.config.image_token_id)
        self._images = torch.from_numpy(frames.images)
        dense = {"things": frames.things, "places": frames.places}
        self._wanted = {name: torch.from_numpy(one).to(self._device).long().flatten(1) for name, one in dense.items()}
        self._groups = _by_family(frames)

    def run(self) -> Iterator[Progress]:
        """All stages from the last checkpoint on; yields every step."""
        saved = read_checkpoint(self._checkpoint)
        for number, stage in enumerate(self.recipe.stages()):
            if saved is not None and number < saved.stage:
                continue
            optimiser = Optimiser(self._master)
            first = 0
            if saved is not None and number == saved.stage:
                saved.restore(optimiser)
                self._publish()
                first = saved.step
            for step in range(first, stage.steps):
                yield self._step(stage, step, optimiser)
                if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == stage.steps:
                    write_checkpoint(self._checkpoint, number, step + 1, optimiser)

    def _step(self, stage: Stage, step: int, optimiser: Optimiser) -> Progress:
        started = time.monotonic()
        rng = np.random.default_rng([self.recipe.seed, stage.stream, step])
        loss, accuracy = self._answers(rng, stage, step) if stage.talks else self._vision(rng)
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(optimiser, stage.rate * one_cycle(step, stage.steps))
        return Progress(stage.name, step, float(loss.detach()), accuracy, time.monotonic() - started)

    def export(self, out: Path) -> None:
        """Write the checkpoint with the processor, weights in float16."""
        model = SmolVLMForConditionalGeneration(self.model.config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self._master[name])
        model.half().save_pretrained(out)
        self.processor.save_pretrained(out)

    def _pixels(self, picks: list[int]) -> torch.Tensor:
        return self._images[picks].to(self._device).permute(0, 3, 1, 2).to(torch.bfloat16) / 127.5 - 1.0

    def _vision(self, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        picks = rng.integers(0, len(self.frames), self.recipe.vision_batch).tolist()
        patches, _ = image_features(self.model, self._pixels(picks))
        return self._dense_loss(patches, picks)

    def _dense_loss(self, patches: torch.Tensor, picks: list[int]) -> tuple[torch.Tensor, float]:
        """Loss of both dense labels and the share of object patches whose two labels are right."""
        losses, right = [], []
        for name, head in self.dense.items():
            logits = head(patches).float().flatten(0, 1)
            wanted = self._wanted[name][picks].flatten()
            weights = torch.ones(logits.shape[1], device=self._device)
            weights[0] = NOTHING_WEIGHT
            losses.append(F.cross_entropy(logits, wanted, weight=weights))
            right.append(logits.argmax(1) == wanted)
        objects = self._wanted["things"][picks].flatten() >= len(PARTS)
        return losses[0] + losses[1], float((right[0] & right[1])[objects].float().mean())

    def _answers(self, rng: np.random.Generator, stage: Stage, step: int) -> tuple[torch.Tensor, float]:
        picks = self._pick(rng)
        patches, features = image_features(self.model, self._pixels(picks))
        loss, right = self._talk_loss(features, image_rows(self.frames, picks, rng))
        if stage.plays_at(step):
            loss = loss + 0.5 * self._talk_loss(features, game_rows(self.frames, picks, rng))[0]
        dense, _ = self._dense_loss(patches, picks)
        return loss + self.recipe.dense_weight * dense, right

    def _talk_loss(self, features: torch.Tensor, rows: list[Row]) -> tuple[torch.Tensor, float]:
        batch = self._packer.pack(rows).to(self._device)
        logits, targets, weights = forward(self.model, features, batch, self._image_token)
        losses = F.cross_entropy(logits, targets, reduction="none")
        sure = weights == 1.0
        right = float((logits.argmax(1) == targets)[sure].float().mean())
        return (losses * weights).sum() / weights.sum(), right

    def _pick(self, rng: np.random.Generator) -> list[int]:
        """Images of a step in groups of CANDIDATES; half of the groups are of one instruction family."""
        picks: list[int] = []
        for _ in range(self.recipe.batch // CANDIDATES):
            pool = self._groups[int(rng.integers(len(self._groups)))] if rng.random() < 0.5 else None
            chosen = rng.integers(0, len(self.frames) if pool is None else len(pool), CANDIDATES)
            picks += chosen.tolist() if pool is None else pool[chosen].tolist()
        return picks

    def _update(self, optimiser: Optimiser, rate: float) -> None:
        for name, parameter in self._parameters.items():
            self._master[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        optimiser.step(rate)
        self._publish()

    def _publish(self) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self._master[name])


def one_cycle(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up over 5 %, then a cosine down to 2 %."""
    warm = max(1, int(0.05 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, steps - warm))))


def _by_family(frames: Frames) -> list[npt.NDArray[np.intp]]:
    families = np.array([goal.family for goal in frames.goals])
    return [np.flatnonzero(families == family) for family in sorted(set(families))]


def log_line(progress: Progress) -> str:
    """One JSON line of the training log."""
    return json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in vars(progress).items()})
