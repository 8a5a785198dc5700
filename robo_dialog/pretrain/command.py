"""`robo-dialog pretrain`: the embedded model `tiny` from nothing, on the simulated domain `source` alone."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_dialog.errors import ConfigError
from robo_dialog.pretrain.recipe import Recipe

if TYPE_CHECKING:
    from robo_dialog.detect.calibration import Calibration

CALIBRATION_SEED_OFFSET = 1
"""Calibration episodes are of the training split, but of the next seed: neither trained on nor evaluated on."""


@dataclass(frozen=True)
class Pretrain:
    """Train the embedded model `tiny` from scratch and export its bundle. About an hour and a half on two cores.

    Needs the extras `train` and `sim`. An interrupted run goes on when the same command is given again.
    """

    out: Path
    """Folder that gets `tiny` (checkpoint) and `tiny-bundle` (detector)."""
    work: Path = Path("runs/pretrain")
    """Folder for training frames, checkpoints and the log."""
    episodes: int = 12000
    """Simulated training episodes."""
    calibration_episodes: int = 600
    """Further episodes that the temperature and thresholds are fitted on."""
    workers: int = 2
    """Processes that simulate."""
    compile: bool = False
    """Compile the layers first (needs a C++ compiler): steps take about an eighth less time."""
    recipe: Recipe = field(default_factory=Recipe)
    json: bool = False
    """Print one JSON object on stdout instead of a line."""

    def run(self) -> int:
        """Simulate, train, calibrate, export."""
        if self.episodes < 1 or self.calibration_episodes < 40 or self.workers < 1:
            raise ConfigError("--episodes and --workers must be at least 1, --calibration-episodes at least 40")
        self.work.mkdir(parents=True, exist_ok=True)
        self._check_recipe()
        self._simulate()
        last = self._train()
        calibration, figures = self._calibrate()
        published = self._export(calibration, figures)
        summary = {"checkpoint": str(self.out / "tiny"), "bundle": str(published), **last, **figures}
        (self.work / "summary.json").write_text(jsonlib.dumps(summary, indent=1) + "\n")
        print(jsonlib.dumps(summary) if self.json else "\n".join(f"{key}: {value}" for key, value in summary.items()))
        return 0

    def _check_recipe(self) -> None:
        """A work folder belongs to one recipe: mixing two would give weights that no command reproduces."""
        path = self.work / "recipe.json"
        mine = {"episodes": self.episodes, **asdict(self.recipe)}
        if path.exists() and (found := jsonlib.loads(path.read_text())) != mine:
            changed = sorted(key for key in mine if found.get(key) != mine[key])
            raise ConfigError(f"{path}: this folder was begun with other values of {changed}; choose another --work")
        path.write_text(jsonlib.dumps(mine, indent=1) + "\n")

    def _simulate(self) -> None:
        from rich.console import Console
        from rich.progress import track

        from robo_dialog.pretrain.data import make_shards, shard_count

        shards = make_shards(self.work / "shards", episodes=self.episodes, seed=self.recipe.seed, workers=self.workers)
        total = shard_count(self.episodes)
        for _ in track(shards, "simulating training episodes", total=total, console=Console(stderr=True)):
            pass

    def _train(self) -> dict[str, Any]:
        from rich.console import Console
        from rich.progress import Progress

        from robo_dialog.pretrain.data import load
        from robo_dialog.pretrain.train import Trainer, log_line

        trainer = Trainer(self.recipe, load(self.work / "shards"), self.work, compiled=self.compile)
        with Progress(console=Console(stderr=True)) as bar, (self.work / "log.jsonl").open("a") as log:
            tasks = {stage.name: bar.add_task(stage.name, total=stage.steps) for stage in self.recipe.stages()}
            loss = None  # stays so where an earlier run has finished the training
            for progress in trainer.run():
                bar.update(tasks[progress.stage], completed=progress.step + 1)
                log.write(log_line(progress) + "\n")
                loss = progress.loss
        trainer.export(self.out / "tiny")
        return {"last_loss": loss}

    def _calibrate(self) -> tuple[Calibration, dict[str, float]]:
        import numpy as np

        from robo_dialog.detect.calibration import Calibration
        from robo_dialog.pretrain.held_out import judged, outcomes, wrist_weight
        from robo_dialog.tune.calibrate import episode_probabilities, fit_calibration
        from robo_dialog.tune.metrics import auroc
        from robo_dialog.vlm.transformers_vlm import TransformersVLM

        seed = self.recipe.seed + CALIBRATION_SEED_OFFSET
        episodes = judged(
            TransformersVLM(self.out / "tiny", device="cpu"),
            outcomes("source", "train", seed, self.calibration_episodes),
        )
        calibration = fit_calibration(
            episodes, Calibration(camera_weights={"wrist": wrist_weight(episodes)}), task_minimum=10**9
        )
        labels = np.array([episode.success for episode in episodes])
        return calibration, {"calibration_auroc": round(auroc(labels, episode_probabilities(episodes, calibration)), 4)}

    def _export(self, calibration: Calibration, figures: dict[str, float]) -> Path:
        import shutil

        from robo_dialog.detect.manifest import Lineage
        from robo_dialog.tune.export import export_bundle

        bundle = self.out / "tiny-bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        words = f"robo-dialog pretrain, {self.episodes} episodes of `source`, {self.recipe}"
        lineage = Lineage(base_model="tiny", recipe=words, metrics=figures)
        export_bundle(self.out / "tiny", bundle, calibration=calibration, lineage=lineage, name="tiny")
        return bundle
