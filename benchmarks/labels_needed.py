"""How many labelled episodes does a classifier need that is as good as the detector made without a label?

    python benchmarks/labels_needed.py [--seeds 0 1] [--sizes 50 100 200 400 800 1600] [--work runs/self-improvement]

A ResNet-18 is trained from scratch on the final frames of so many labelled `target` episodes, of the pool that the
study of the same seed plays on without labels, and judged on the study's labelled episodes, cameras averaged. Every
run adds a line to results/labels_needed.jsonl; benchmarks/self_improvement.py reads them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import tyro
from rich.console import Console
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from improvement_arms import Lab
from record import origin
from robo_dialog.play.views import augment
from robo_dialog.play.words import words
from robo_dialog.tune.metrics import auroc, balanced_accuracy
from robo_episodes.pool import FramePool

RUNS = Path(__file__).parent / "results" / "labels_needed.jsonl"
BATCH, STEPS, RATE = 64, 1500, 1e-3
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WORDS = 32
"""Length of what stands for the instruction."""
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """What is run, as far as it has not been."""

    seeds: tuple[int, ...] = (0,)
    sizes: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)
    """Numbers of labelled episodes."""
    episodes: int = 2100
    judged: int = 500
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its pools."""


@dataclass(frozen=True)
class Labelled:
    """Final frames of labelled episodes: images (N, H, W, 3), instruction, label and episode of each."""

    images: Frames
    instructions: tuple[str, ...]
    labels: npt.NDArray[np.bool_]
    episodes: npt.NDArray[np.int64]

    def first(self, count: int) -> Labelled:
        """Those of the first episodes."""
        mine = self.episodes < count
        said = tuple(text for text, is_mine in zip(self.instructions, mine, strict=True) if is_mine)
        return Labelled(self.images[mine], said, self.labels[mine], self.episodes[mine])


class Classifier(nn.Module):
    """ResNet-18 and the mean of learned words, to one logit; words never seen count for nothing."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self._numbers = {word: number for number, word in enumerate(vocabulary, start=1)}
        config = ResNetConfig(
            embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
        )
        self.seeing = ResNetModel(config)
        self.reading = nn.EmbeddingBag(len(vocabulary) + 1, WORDS, mode="mean", padding_idx=0)
        self.judging = nn.Sequential(nn.Linear(512 + WORDS, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, images: Frames, instructions: Sequence[str]) -> Tensor:
        """Logits (N,)."""
        pixels = torch.from_numpy(images).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1
        said = [[self._numbers.get(word, 0) for word in words(text)] for text in instructions]
        ends = np.cumsum([0, *map(len, said)])[:-1]
        numbers = torch.tensor([number for one in said for number in one], device=DEVICE)
        seen = self.seeing(pixels).pooler_output.flatten(1)
        read = self.reading(numbers, torch.from_numpy(ends).to(DEVICE))
        logits: Tensor = self.judging(torch.cat([seen, read], 1)).squeeze(1)
        return logits


def main(options: Options) -> None:
    """Train what is missing, and judge it."""
    for seed in options.seeds:
        lab = Lab(options.work, seed, options.episodes, options.judged, games=1)
        training, test = read(lab.pool), read(lab.judged_pool("target"))
        for size in options.sizes:
            key = {"seed": seed, "episodes": size}
            if any(key.items() <= one.items() for one in runs()):
                continue
            started = time.monotonic()
            figures = judged(trained(training.first(size), seed), test)
            line = {**key, **figures, "seconds": round(time.monotonic() - started), **origin()}
            Console(stderr=True).print(line)
            with RUNS.open("a") as file:
                file.write(json.dumps(line) + "\n")


def runs() -> list[dict[str, float]]:
    """All runs so far."""
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def read(path: Path) -> Labelled:
    """The frames of a pool whose episodes are all labelled."""
    rows = [row for row in FramePool.open(path).rows() if row.success is not None and row.steps_from_end == 0]
    numbers = {episode: number for number, episode in enumerate(dict.fromkeys(row.episode_id for row in rows))}
    return Labelled(
        np.stack([row.image() for row in rows]),
        tuple(row.instruction or "" for row in rows),
        np.array([bool(row.success) for row in rows]),
        np.array([numbers[row.episode_id] for row in rows]),
    )


def trained(examples: Labelled, seed: int) -> Classifier:
    """A classifier of these examples, seen under slight changes of light and place."""
    torch.manual_seed(seed)
    model = Classifier(sorted({word for text in examples.instructions for word in words(text)})).to(DEVICE)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    loss = nn.BCEWithLogitsLoss()
    for images, instructions, labels in batches(examples, seed):
        optimiser.zero_grad()
        loss(model(images, instructions), labels.to(DEVICE)).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def batches(examples: Labelled, seed: int) -> Iterator[tuple[Frames, list[str], Tensor]]:
    """As many batches as there are steps."""
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        chosen = rng.integers(len(examples.labels), size=BATCH)
        images = np.stack([augment(examples.images[i], int(rng.integers(2**31))) for i in chosen])
        yield images, [examples.instructions[i] for i in chosen], torch.from_numpy(examples.labels[chosen]).float()


def judged(model: Classifier, test: Labelled) -> dict[str, float]:
    """Figures on episodes, logits averaged over cameras."""
    with torch.inference_mode():
        parts = [
            model(test.images[start : start + BATCH], test.instructions[start : start + BATCH]).cpu().numpy()
            for start in range(0, len(test.labels), BATCH)
        ]
    count = int(test.episodes.max()) + 1
    sums = np.bincount(test.episodes, np.concatenate(parts), count)
    labels = np.bincount(test.episodes, test.labels, count) > 0
    return {"balanced_accuracy": balanced_accuracy(labels, sums > 0), "auroc": auroc(labels, sums)}


if __name__ == "__main__":
    main(tyro.cli(Options))
