"""Self-improvement on a public simulator: Meta-World's tasks with its scripted policies and its own oracle of success.

    python benchmarks/metaworld.py [--split dev] [--seed 0]

A base model learns twenty `source` tasks from labelled final frames, starting from the embedded `tiny`. It then
improves itself by `improve`, as users run it, on unlabelled episodes of ten `target` tasks that it has never seen.
Labels of `target` are read by the final measure, on other episodes, and by the arm `supervised`, the upper bound.
Choose settings with `--split dev`, whose tasks are none of the others, and never on `target`; those below were set
before any figure was taken. Everything that was done before is used again.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
import venv
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from metaworld_figures import Arm, figures_of, judged
from metaworld_lessons import answer_rows, game_rows, lessons
from metaworld_tasks import SOURCE, TASKS, Split
from record import record
from robo_dialog.claims import claimed
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.manifest import MANIFEST, Lineage
from robo_dialog.improve.command import Improve
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.improve.stages import detector_of, is_held_out, tune_on
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.row_files import write_parquet
from robo_dialog.tune.calibrate import fit_calibration
from robo_dialog.tune.examples import Example, Talk, examples_of, read_examples
from robo_dialog.tune.export import export_bundle
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.labelled import labelled_episodes
from robo_dialog.tune.labels import read_labels
from robo_dialog.tune.passes import looked, views_of
from robo_dialog.tune.recalibrate import recalibrated
from robo_dialog.tune.settings import TuneSettings
from robo_dialog.vlm.prompts import success_question
from robo_episodes.commands import Ingest
from robo_episodes.pool import FramePool
from robo_episodes.stages.choice import ExecutorChoice

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
MAKER = Path(__file__).parent / "makers" / "metaworld_episodes.py"
ANCHORS = 1200
"""Images of source tasks that are replayed while the model improves itself."""
GAMES = 1500
"""Games with true answers, from which the base learns to ask."""
Use = Literal["learned", "judged"]
"""What scenes of a split are for; no scene is for both."""


@dataclass(frozen=True)
class Options:
    """What is run."""

    split: Literal["dev", "target"] = "target"
    """Tasks to improve on; `dev` is for choosing settings, and writes no results."""
    seed: int = 0
    source: tuple[int, int] = (12, 4)
    """Scenes of each source task that are learned from, and that thresholds are fitted on; each gives four episodes."""
    unlabelled: tuple[int, int] = (40, 10)
    """Scenes of each other task that the model improves itself on, and that are judged at the end."""
    base: TuneSettings = field(default_factory=lambda: TuneSettings(steps=400, held_out=0.0))
    """How the base learns the source tasks."""
    improve: RoundSettings = field(default_factory=lambda: RoundSettings(rounds=1, games=6000, held_out=0.55))
    """The product's own recipe; half of a small pool is needed to find the boundaries of every task."""
    python: Path | None = None
    """Interpreter of an environment with the extra `bench`; one is made in WORK, if left out."""
    work: Path = Path("runs/metaworld")
    """Folder of episodes, pools and models; may be deleted afterwards."""


@dataclass(frozen=True)
class Lab:
    """Everything that the arms share, made when it is asked for, and once."""

    options: Options

    def pool(self, split: Split, use: Use) -> Path:
        """Final frames of all tasks of a split."""
        sizes = self.options.source if split == "source" else self.options.unlabelled
        folder = self.options.work / f"{split}-{self.options.seed}-{sizes[0]}-{sizes[1]}"
        pool = folder / f"pool-{use}"
        if not (pool / "ingest.json").exists():
            parts = [f"{name}={size}" for name, size in zip(("learned", "judged"), sizes, strict=True)]
            for task in track(TASKS[split], f"{split} episodes", console=Console(stderr=True)):
                command = [str(self.python), "-W", "ignore", str(MAKER), f"{task.name}-v3", task.instruction]
                options = ["--parts", *parts, "--seed", str(self.options.seed), "--out", str(folder)]
                subprocess.run([*command, *options], check=True)
            Ingest((folder / use,), out=pool, executor=ExecutorChoice(workers=1)).run()
        return pool

    @cached_property
    def python(self) -> Path:
        """Interpreter of an environment with Meta-World, which does not go together with the MuJoCo of `sim`."""
        if self.options.python is not None:
            return self.options.python
        folder = self.options.work / "venv"
        stamp = folder / "installed"
        if not stamp.exists():
            wanted = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["bench"]
            venv.create(folder, with_pip=True)
            subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *wanted], check=True)
            stamp.touch()
        return folder / "bin" / "python"

    @property
    def folder(self) -> Path:
        """Models of this seed."""
        return self.options.work / f"models-{self.options.seed}"

    @property
    def settings(self) -> RoundSettings:
        """Of the rounds."""
        return replace(self.options.improve, seed=1000 * self.options.seed)

    @cached_property
    def anchors(self) -> Path:
        """Rows of what the base was taught, for replay."""
        out = self.folder / "anchors.parquet"
        if not out.exists():
            pool = FramePool.open(self.pool("source", "learned"))
            known = lessons(pool, SOURCE)
            some = np.random.default_rng(self.options.seed).permutation(len(known))[: ANCHORS // 3]
            write_parquet(answer_rows([known[i] for i in some], FrameStore(pool)), out)
        return out

    @cached_property
    def model(self) -> Path:
        """The base: `tiny`, taught the source tasks with labels."""
        out = self.folder / "base"
        if not out.exists():
            pool = FramePool.open(self.pool("source", "learned"))
            store, known = FrameStore(pool), lessons(pool, SOURCE)
            examples = examples_of(answer_rows(known, store))
            examples += examples_of(game_rows(known, store, GAMES, self.options.seed))
            self.folder.mkdir(parents=True, exist_ok=True)
            settings = replace(RoundSettings(), tune=replace(self.options.base, seed=self.options.seed))
            tune_on(examples, "tiny", out, (), settings)
        return out

    @cached_property
    def bundle(self) -> Path:
        """The base as it would be shipped: calibrated with labels, on other episodes of the source tasks."""
        out, plain = self.folder / "base-bundle", self.folder / "base-plain"
        if not (out / MANIFEST).exists():
            if not (plain / MANIFEST).exists():
                export_bundle(self.model, plain, lineage=Lineage("tiny"), name="metaworld")
            judge, pool = BundleJudge(Detector.load(plain)), FramePool.open(self.pool("source", "judged"))
            views = replace(views_of(pool), beginnings={})
            with looked(judge, pool, views, Calibration(), None, "source episodes") as margins:
                episodes = labelled_episodes(views, Calibration(), margins, read_labels(pool))
            calibration = fit_calibration([*episodes.values()], Calibration(), task_minimum=10**9)
            recalibrated(plain, calibration, out)
        return out


def improve(lab: Lab) -> Path:
    """Rounds of self-improvement without labels; the folder of the run."""
    out = lab.folder / f"improved-{lab.options.split}"
    pool = lab.pool(lab.options.split, "learned")
    Improve(pool, out, str(lab.model), (lab.anchors,), settings=lab.settings).run()
    return out


def supervised(lab: Lab) -> Path:
    """The upper bound: the same steps on the same episodes with their true success labels, calibrated alike."""
    folder, settings = lab.folder / f"supervised-{lab.options.split}", lab.settings
    path = lab.pool(lab.options.split, "learned")
    if not (folder / "model").exists():
        pool = FramePool.open(path)
        store, labels = FrameStore(pool), read_labels(pool)
        examples = [
            Example("describer", (f"{frame}.png",), (store.png(frame),), (_talk(moment.instruction, success),))
            for moment in views_of(pool).outcomes
            if not is_held_out(moment.episode_id, settings.held_out)
            for frame, success in ((one, labels[moment.episode_id].success) for one in moment.frames.values())
        ]
        folder.mkdir(parents=True, exist_ok=True)
        tune_on(examples, str(lab.model), folder / "model", read_examples((lab.anchors,)), settings)
    return detector_of(str(folder / "model"), path, folder / "bundle", Lineage("metaworld"), settings.held_out)


def _talk(instruction: str, success: bool) -> Talk:
    return Talk((("user", success_question(instruction)), ("assistant", "yes" if success else "no")))


def main(options: Options) -> None:
    """Make what is missing, measure, write the table."""
    lab = Lab(options)
    values = asdict(options)
    with claimed(lab.folder, "begun.json", {name: values[name] for name in ("source", "unlabelled", "base")}):
        figures, notes = measured(lab)
    Console().print(figures)
    if options.split == "target":
        record("metaworld", figures, notes)


def measured(lab: Lab) -> tuple[dict[str, float], dict[str, str]]:
    """All figures, and what they are."""
    run = improve(lab)
    found = json.loads((run / "improve.json").read_text())
    bundles: dict[Arm, Path] = {
        "base": lab.bundle,
        "recalibrated": run / "base" / "bundle",
        "improved": Path(found["bundle"]),
        "last_round": run / f"round-{len(found['rounds'])}" / "bundle",
        "supervised": supervised(lab),
    }
    held_out = FramePool.open(lab.pool(lab.options.split, "judged"))
    figures, notes = figures_of({arm: judged(bundle, held_out) for arm, bundle in bundles.items()})
    promoted = sum(one["promoted"] for one in found["rounds"])
    return {**figures, "rounds_promoted": promoted}, {**notes, "rounds_promoted": "rounds that passed the gate"}


if __name__ == "__main__":
    main(tyro.cli(Options))
