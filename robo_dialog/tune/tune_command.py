"""`robo-dialog tune`: a checkpoint that has learned from kept dialogs."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.errors import ConfigError
from robo_dialog.tune.settings import TuneSettings

if TYPE_CHECKING:
    from robo_dialog.tune.training import Tuned


@dataclass(frozen=True)
class Tune:
    """Fine-tune a vision-language model (LoRA) on kept dialogs, and write the merged checkpoint.

    An interrupted run goes on when the same command is given again.
    """

    rows: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|ROWS")]
    """Runs of `robo-dialog play` that `robo-dialog filter` has judged, or Parquet files of training rows."""
    out: Path
    """Folder of the checkpoint to write; tuning.json beside its weights says how it was made."""
    model: str = "tiny"
    """Folder or hub name of the vision-language model to tune; `tiny` is the embedded one."""
    anchor: tuple[Path, ...] = ()
    """Parquet files of training rows of what the model can do already: replayed, so that it is not forgotten."""
    work: Path | None = None
    """Folder of checkpoints; OUT with `.work` behind its name, if left out. Deleted at the end."""
    report_to: str = "none"
    """Where to report to, as transformers names it: tensorboard, wandb, mlflow."""
    settings: Annotated[TuneSettings, tyro.conf.arg(name="")] = field(default_factory=TuneSettings)
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of a table."""

    def run(self) -> int:
        """Read, tune, merge, write."""
        import shutil

        from robo_dialog.models import embedded_model
        from robo_dialog.tune.examples import read_examples
        from robo_dialog.tune.subjects import made_folder
        from robo_dialog.tune.training import processes, tune
        from robo_episodes.pool import write_json

        if self.out.exists():
            raise ConfigError(f"{self.out}: exists already; name a new folder with --out, or delete it")
        files = tuple(_rows_of(path) for path in self.rows)
        rows, anchors = read_examples(files), read_examples(self.anchor)
        work = self.work or self.out.with_name(f"{self.out.name}.work")
        model: str | Path = embedded_model() if self.model == "tiny" else self.model
        part, together = work / "merged", processes()
        if together.is_main_process:
            made_folder(self.out.parent)
            self._begin(work, files)
            shutil.rmtree(part, ignore_errors=True)
        together.wait_for_everyone()
        tuned = tune(model, rows, anchors, self.settings, work=work / "checkpoints", out=part, report_to=self.report_to)
        if not together.is_main_process:
            return 0
        write_json(part / "tuning.json", {"model": str(self.model), **asdict(tuned), "settings": asdict(self.settings)})
        part.replace(self.out)
        shutil.rmtree(work)
        self._print(tuned)
        return 0

    def _begin(self, work: Path, files: tuple[Path, ...]) -> None:
        """A work folder belongs to one command: its checkpoints are of these rows and these settings."""
        from robo_dialog.play.run_folder import read_json
        from robo_dialog.tune.subjects import made_folder
        from robo_episodes.pool import write_json

        mine: dict[str, Any] = {
            "model": self.model,
            "rows": {str(path): path.stat().st_size for path in (*files, *self.anchor)},
            "settings": asdict(self.settings),
        }
        path = work / "begun.json"
        if path.exists() and read_json(path) != mine:
            raise ConfigError(
                f"{work}: was begun with another model, other rows or settings; delete it, or name --work"
            )
        made_folder(work)
        write_json(path, mine)

    def _print(self, tuned: Tuned) -> None:
        found = {"checkpoint": str(self.out), **asdict(tuned)}
        if self.json:
            print(jsonlib.dumps(found))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table("figure", "value", title="tuning")
        for key, value in found.items():
            table.add_row(key.replace("_", " "), "-" if value is None else str(value))
        Console().print(table)
        print(f"export it with: robo-dialog export --model {self.out} --out BUNDLE", file=sys.stderr)


def _rows_of(path: Path) -> Path:
    """The file of training rows that a path means.

    Raises:
        ConfigError: there is none.
    """
    found = path / "rows.parquet" if path.is_dir() else path
    if not found.is_file():
        raise ConfigError(f"{found}: there is no such file of training rows; write it with: robo-dialog filter {path}")
    return found
