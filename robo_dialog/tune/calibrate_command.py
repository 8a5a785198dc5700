"""`robo-dialog calibrate`: how a detector's margins become verdicts, fitted to a lab with or without labels."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robo_dialog.errors import ConfigError
from robo_dialog.tune.subjects import JudgeChoice, made_folder, opened_pool, read_calibration, read_paraphrases

if TYPE_CHECKING:
    from robo_dialog.detect.calibration import Calibration
    from robo_dialog.tune.agreement import Agreed
    from robo_dialog.tune.judges import Judge
    from robo_episodes.pool import FramePool

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Calibrate:
    """Fit a calibration to the episodes of a lab, and write it: with --bundle as a bundle that can be served.

    With labelled episodes: temperature, thresholds by instruction and family, and a band of abstention that keeps each
    class from being mistaken for the other more often than --alpha. With --without-labels: boundaries where margins lie
    in two heaps, weights of cameras, temperature and abstention from agreement; labels are not read, even if there are
    some.
    """

    episodes: tuple[Path, ...]
    """A frame pool, or recordings."""
    out: Path
    """Folder for calibration.json, calibrate.json, margins and, with --bundle, the new bundle."""
    judge: Annotated[JudgeChoice, tyro.conf.arg(name="")] = field(default_factory=JudgeChoice)
    without_labels: Flag = False
    """Calibrate by agreement alone."""
    calibration: Path | None = None
    """A calibration.json to start from, in place of the bundle's own or none."""
    reviews: Path | None = None
    """Verdict file of people, as `review` writes it; what they say goes before the labels of the recordings."""
    precision: float | None = None
    """Least share of true successes among verdicts SUCCESS; default: thresholds of the best balanced accuracy."""
    alpha: float = 0.05
    """Largest share of each class that may be called the other, without labels: of all verdicts that may be expected to
    be wrong; UNCERTAIN takes what is too close to tell."""
    paraphrases: Path | None = None
    """YAML file with groups of wordings that mean the same: further views, where there are no labels."""
    augmentations: int = 2
    """Slight changes of every frame that are further views, where there are no labels."""
    cameras: tuple[str, ...] = ()
    """Only these cameras; default: all."""
    margins: Path | None = None
    """Folder of margins that several commands share; default: `margins` in --out."""
    json: Flag = False
    """Print one JSON object on stdout instead of a table."""

    def run(self) -> int:
        """Ask, fit, write, print."""
        self._check()
        made_folder(self.out)
        judge = self.judge.open()
        base = judge.calibration if self.calibration is None else read_calibration(self.calibration)
        with opened_pool(self.episodes, self.cameras) as pool:
            fit = self._without_labels if self.without_labels else self._with_labels
            calibration, details = fit(judge, base, pool)
        found = {**self._write(calibration), **details}
        from robo_episodes.pool import write_json

        write_json(self.out / "calibrate.json", found)
        self._print(found)
        return 0

    def _check(self) -> None:
        for name, value in (("--precision", self.precision), ("--alpha", self.alpha)):
            if value is not None and not 0 < value < 1:
                raise ConfigError(f"{name} {value:g}: give a share between 0 and 1, for example 0.95 or 0.05")
        if self.augmentations < 0:
            raise ConfigError(f"--augmentations {self.augmentations}: give 0 or more")
        if self.without_labels and self.reviews is not None:
            raise ConfigError(f"--reviews {self.reviews}: are labels; leave them or --without-labels out")
        if self.without_labels and self.precision is not None:
            raise ConfigError(f"--precision {self.precision:g}: needs labels; leave it or --without-labels out")

    def _with_labels(
        self, judge: Judge, base: Calibration, pool: FramePool
    ) -> tuple[Calibration, Mapping[str, object]]:
        from robo_dialog.tune.labelled import Wanted, calibrate_with_labels, labelled_episodes
        from robo_dialog.tune.labels import read_labels
        from robo_dialog.tune.passes import looked, views_of

        labels, views = read_labels(pool, self.reviews), views_of(pool, self.cameras)
        seen = replace(views, outcomes=[one for one in views.outcomes if one.episode_id in labels], beginnings={})
        with looked(judge, pool, seen, base, self._margins(), self.judge.name) as margins:
            episodes = labelled_episodes(seen, base, margins, labels)
        calibration = calibrate_with_labels(episodes, base, Wanted(self.alpha, self.precision), str(pool.path))
        return calibration, {"labels": True, "episodes": len(episodes)}

    def _without_labels(
        self, judge: Judge, base: Calibration, pool: FramePool
    ) -> tuple[Calibration, Mapping[str, object]]:
        from robo_dialog.tune.passes import looked, views_of
        from robo_dialog.tune.unlabelled import calibrate_without_labels

        views = views_of(pool, self.cameras, read_paraphrases(self.paraphrases), self.augmentations)
        views = replace(views, beginnings={})
        with looked(judge, pool, views, base, self._margins(), self.judge.name) as margins:
            agreed = calibrate_without_labels(views, base, margins, self.alpha)
        return agreed.calibration, {"labels": False, "episodes": len(views.outcomes), **_details(agreed)}

    def _margins(self) -> Path:
        return self.margins or self.out / "margins"

    def _write(self, calibration: Calibration) -> dict[str, object]:
        """The calibration as a file and, where a bundle was calibrated, as a bundle."""
        from robo_episodes.pool import write_atomically

        file = self.out / "calibration.json"
        written: dict[str, object] = {"calibration": str(file), "bundle": None, "digest": None}
        if self.judge.bundle is not None:
            from robo_dialog.tune.recalibrate import recalibrated

            bundle = self.out / "bundle"
            written |= {"bundle": str(bundle), "digest": recalibrated(self.judge.bundle, calibration, bundle).digest}
        write_atomically(file, calibration.encode())
        return {**written, "method": calibration.method}

    def _print(self, found: Mapping[str, object]) -> None:
        if self.json:
            print(jsonlib.dumps(found))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table("calibration", str(found["calibration"]), title="calibrated", show_lines=False)
        for key in ("bundle", "digest", "episodes", "method"):
            if found[key] is not None:
                table.add_row(key, str(found[key]))
        families = found.get("families")
        if isinstance(families, dict):
            for name, one in families.items():
                table.add_row(name, one["reason"] or f"success from a margin of {one['offset']:+.2f} on")
        Console().print(table)
        print(f"use it: robo-dialog evaluate, or serve --bundle {found['bundle'] or '...'}", file=sys.stderr)


def _details(agreed: Agreed) -> dict[str, object]:
    """What the calibration rests on, for people who want to know."""
    families = {
        one.name: {
            **asdict(one.heaps.split),
            "trust": one.heaps.split.trust,
            "agreement": one.heaps.agreement,
            "offset": one.heaps.offset,
            "reason": one.heaps.reason,
        }
        for one in agreed.families
    }
    return {
        "families": families,
        "camera_weights": dict(agreed.weights),
        "yes_share": agreed.yes_share,
        "yes_share_before": agreed.yes_share_before,
    }
