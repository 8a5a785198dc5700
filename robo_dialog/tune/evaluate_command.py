"""`robo-dialog evaluate`: how good a detector is on labelled episodes."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robo_dialog.errors import ConfigError
from robo_dialog.tune.subjects import JudgeChoice, made_folder, opened_pool, read_calibration, read_paraphrases

if TYPE_CHECKING:
    from robo_dialog.detect.calibration import Calibration
    from robo_dialog.tune.evaluation import Judged
    from robo_dialog.tune.evaluation_report import Evaluated
    from robo_dialog.tune.judges import Judge
    from robo_dialog.tune.passes import Views
    from robo_episodes.pool import FramePool

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Evaluate:
    """Measure a model or a detector bundle on labelled episodes: final frames, all cameras fused, as it would serve.

    Only labels that can be believed count; episodes whose labels are absent or all the same are refused. What the model
    answered is kept, so that the same command, or `calibrate` with the same margins, asks nothing twice.
    """

    episodes: tuple[Path, ...]
    """A frame pool, or recordings with labels."""
    judge: Annotated[JudgeChoice, tyro.conf.arg(name="")] = field(default_factory=JudgeChoice)
    against: str | None = None
    """A second model or bundle to compare with."""
    calibration: Path | None = None
    """A calibration.json to judge with, in place of the bundle's own or none."""
    reviews: Path | None = None
    """Verdict file of people, as `review` writes it; what they say goes before the labels of the recordings."""
    paraphrases: Path | None = None
    """YAML file with groups of wordings that mean the same: how often do verdicts flip?"""
    cameras: tuple[str, ...] = ()
    """Only these cameras; default: all."""
    out: Path | None = None
    """Folder for evaluate.json, evaluate.md, plots and margins; made if it is missing."""
    margins: Path | None = None
    """Folder of margins that several commands share; default: `margins` in --out."""
    plots: bool = True
    """Whether to draw the ROC curve and the reliability diagram into --out."""
    draws: int = 1000
    """Draws of the bootstrap."""
    json: Flag = False
    """Print one JSON object on stdout instead of tables."""

    def run(self) -> int:
        """Ask, measure, write, print."""
        from robo_dialog.tune.passes import views_of

        if self.draws < 1:
            raise ConfigError(f"--draws {self.draws}: expected at least 1")
        if self.out is not None:
            made_folder(self.out)
        judge = self.judge.open()
        calibration = judge.calibration if self.calibration is None else read_calibration(self.calibration)
        paraphrases = read_paraphrases(self.paraphrases)
        with opened_pool(self.episodes, self.cameras) as pool:
            views = views_of(pool, self.cameras, paraphrases)
            found = self._evaluated(self.judge.name, judge, calibration, pool, views)
            detectors: dict[str, Sequence[Judged]] = {found.name: found.episodes}
            if self.against is not None:
                found, theirs = self._compared(found, pool, views)
                detectors[f"against {self.against}"] = theirs
        if self.out is not None:
            self._write(found, detectors)
        self._print(found)
        return 0

    def _evaluated(self, name: str, judge: Judge, calibration: Calibration, pool: FramePool, views: Views) -> Evaluated:
        from robo_dialog.play.moments import digest
        from robo_dialog.tune.evaluation import evaluate
        from robo_dialog.tune.evaluation_report import Evaluated
        from robo_dialog.tune.judged import judged_episodes
        from robo_dialog.tune.labels import read_labels
        from robo_dialog.tune.passes import looked

        read_labels(pool, self.reviews)  # refuse before hours of asking
        folder = self.margins or (self.out and self.out / "margins")
        with looked(judge, pool, views, calibration, folder, name) as margins:
            episodes = judged_episodes(pool, views, calibration, margins, self.reviews)
        evaluation = evaluate(episodes, draws=self.draws)
        return Evaluated(name, judge.identity, calibration.method, digest(pool), episodes, evaluation)

    def _compared(self, found: Evaluated, pool: FramePool, views: Views) -> tuple[Evaluated, Sequence[Judged]]:
        from robo_dialog.tune.evaluation import compare
        from robo_dialog.tune.evaluation_report import Contender

        judge = self.judge.named(str(self.against))
        other = self._evaluated(str(self.against), judge, judge.calibration, pool, views)
        comparison = compare(found.episodes, other.episodes, draws=self.draws)
        against = Contender(other.name, other.model, other.calibration, other.evaluation, comparison)
        return replace(found, against=against), other.episodes

    def _write(self, found: Evaluated, detectors: Mapping[str, Sequence[Judged]]) -> None:
        from robo_dialog.tune.plots import write_plots
        from robo_episodes.pool import write_atomically, write_json

        folder = Path(str(self.out))
        plots = write_plots(folder, detectors) if self.plots else []
        write_atomically(folder / "evaluate.md", found.as_markdown(plots).encode())
        write_json(folder / "evaluate.json", found.as_json())

    def _print(self, found: Evaluated) -> None:
        if self.json:
            print(jsonlib.dumps(found.as_json()))
            return
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(found.as_markdown()))
        if self.out is not None:
            print(f"figures and plots: {self.out}", file=sys.stderr)
