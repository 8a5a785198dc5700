"""The command `annotate`: verdicts back to the recordings."""

from __future__ import annotations

import json as json_text
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robo_episodes.errors import ConfigError


@dataclass(frozen=True)
class Annotate:
    """Write verdicts beside recordings, into LeRobot datasets or copies of HDF5 files; recordings are never changed.

    A verdict file has a row for each judged moment: `episode_id` and `source` as in a frame pool, `outcome` (SUCCESS,
    FAILURE, UNCERTAIN), `probability`, `judged_by`, and, where it is not the end of the episode, `step`.
    """

    verdicts: tyro.conf.Positional[Path]
    """Verdict file: JSONL, or Parquet by its ending."""
    to: Literal["sidecar", "lerobot", "hdf5"] = "sidecar"
    """`sidecar`: a file beside each recording. `lerobot`: robo_dialog_progress.parquet in each LeRobot dataset.
    `hdf5`: copies of HDF5 files below --out, with attributes `robo_dialog_outcome` and the like at each episode."""
    form: Literal["jsonl", "parquet"] = "jsonl"
    """Format of sidecars."""
    out: Path | None = None
    """Write below this folder, where the recordings cannot be written beside."""
    judge: str | None = None
    """Whose verdicts go into LeRobot datasets and HDF5 files, where the verdict file has those of several."""
    layout: Path | None = None
    """YAML file with the layouts with which the LeRobot datasets were read."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Write the verdicts and print what was written."""
        from robo_episodes.annotate import write_hdf5, write_lerobot, write_sidecars
        from robo_episodes.layout import builtin_layouts, load_layouts
        from robo_episodes.render import annotated
        from robo_episodes.verdicts import read_verdicts

        rows = list(read_verdicts(self.verdicts))
        if self.to == "sidecar":
            done = write_sidecars(rows, self.form, self.out)
        elif self.to == "hdf5":
            if self.out is None:
                raise ConfigError("--to hdf5: name the folder of the copies with --out")
            done = write_hdf5(rows, self.out, self.judge)
        else:
            layouts = builtin_layouts() if self.layout is None else load_layouts(self.layout)
            done = write_lerobot(rows, layouts, self.judge, self.out)
        outcomes = Counter[str](row.outcome for row in rows)
        if self.json:
            written = [{"path": str(path), "rows": count} for path, count in done.written.items()]
            content = {"verdicts": dict(outcomes), "written": written, "problems": done.problems}
            print(json_text.dumps(content))
        else:
            annotated(done, outcomes)
        return 0
