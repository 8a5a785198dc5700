"""`robo-dialog filter`: which dialogs of a run are worth learning from, and the rows to learn from."""

from __future__ import annotations

import json as jsonlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.errors import ConfigError
from robo_dialog.play.filters import Thresholds

if TYPE_CHECKING:
    from robo_dialog.play.dialog import Dialog
    from robo_episodes.pool import FramePool


@dataclass(frozen=True)
class Filter:
    """Judge the dialogs of a run, count the reasons, and write the kept ones as training rows.

    Writes into the run's folder: kept.jsonl (dialogs), rows.parquet (TRL and `datasets`), llamafactory/ (LLaMA-Factory)
    and filter.json (the counts). The dialogs themselves are never edited.
    """

    path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run of `robo-dialog play`."""
    pool: Path | None = None
    """The frame pool, if it has been moved since."""
    thresholds: Annotated[Thresholds, tyro.conf.arg(name="")] = field(default_factory=Thresholds)
    rows: bool = True
    """Whether to write training rows."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of tables."""

    def run(self) -> int:
        """Judge, count, write."""
        from robo_dialog.play.filters import judged
        from robo_dialog.play.moments import read_moments
        from robo_dialog.play.run_folder import DIALOGS, RUN, pool_of, read_json
        from robo_dialog.play.summary import summarise
        from robo_episodes.pool import write_json

        begun = read_json(self.path / RUN)
        pool = pool_of(self.path, self.pool, "--pool")
        moments = read_moments(pool, begun["settings"]["cameras"])
        vocabulary = self._preparation().vocabulary(sorted({moment.instruction for moment in moments}))
        dialogs = list(judged(self._dialogs(self.path / DIALOGS), vocabulary, self.thresholds))
        outcomes = {moment.episode_id for moment in moments if moment.final}
        found = {**summarise(dialogs, outcomes).as_json(), "games_per_s": None}
        self._write([dialog for dialog in dialogs if dialog.kept], pool)
        write_json(self.path / "filter.json", found)
        self._print(found)
        return 0

    def _preparation(self) -> Any:  # noqa: ANN401 - a Preparation; its module imports no torch, but much else
        from robo_dialog.play.preparation import from_json
        from robo_dialog.play.run_folder import PREPARATION, read_json

        path = self.path / PREPARATION
        return from_json(read_json(path), path)

    def _dialogs(self, path: Path) -> list[Dialog]:
        from robo_dialog.play.dialog import read_dialogs

        dialogs = list(read_dialogs(path))
        if not dialogs:
            raise ConfigError(f"{path}: holds no dialog yet; let `robo-dialog play` finish")
        return dialogs

    def _write(self, kept: Sequence[Dialog], pool: FramePool) -> None:
        from robo_dialog.play.frames import FrameStore
        from robo_dialog.play.row_files import write_parquet, write_sharegpt
        from robo_dialog.play.rows import training_rows
        from robo_episodes.pool import write_atomically

        lines = "".join(dialog.line() + "\n" for dialog in kept)
        write_atomically(self.path / "kept.jsonl", lines.encode())
        (self.path / "rows.parquet").unlink(missing_ok=True)  # of other dialogs than those that are kept now
        shutil.rmtree(self.path / "llamafactory", ignore_errors=True)
        if self.rows:
            store = FrameStore(pool)
            write_parquet(training_rows(kept, store.image), self.path / "rows.parquet")
            write_sharegpt(training_rows(kept, store.image), self.path / "llamafactory")

    def _print(self, found: dict[str, Any]) -> None:
        from robo_dialog.play.progress import print_summary

        if self.json:
            print(jsonlib.dumps(found))
        else:
            print_summary(found)
            print(f"kept dialogs and training rows: {self.path}", file=sys.stderr)
