"""`robo-dialog share`: frames with verdicts and answers, for Hugging Face datasets and for Rerun."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robo_dialog.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """Write the frames of a pool, with what was said of them, in the files of other programs.

    A verdict, and what games answered, stand at the frames that they are about: the final ones of their episode.
    """

    pool: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POOL")]
    """A frame pool, made by `robo-dialog ingest`."""
    out: Path
    """Folder of the data set, or file of the recording (`.rrd`)."""
    to: Literal["datasets", "rerun"] = "datasets"
    """`datasets`: a folder that Hugging Face `datasets` opens. `rerun`: a recording for the Rerun viewer."""
    verdicts: Path | None = None
    """Folder of `robo-dialog relabel`, or a verdict file: on the recordings that the pool was made of."""
    games: Path | None = None
    """Folder of `robo-dialog play` over the pool."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of a line."""

    def run(self) -> int:
        """Read, join, write, tell."""
        from robo_dialog.share.said import frames, said
        from robo_episodes.pool import FramePool

        found = said(self.verdicts, self.games)
        rows = frames(FramePool.open(self.pool), found)
        if self.to == "datasets":
            from robo_dialog.share.dataset import write_dataset

            count = write_dataset(rows, self.out)
        else:
            try:
                from robo_dialog.share.rerun_file import write_recording
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f"--to rerun needs the package `{error.name}`; install it with: pip install 'robo-dialog[rerun]'"
                ) from error
            count = write_recording(rows, self.out)
        told = {"frames": count, "out": str(self.out)}
        print(jsonlib.dumps(told) if self.json else f"{count} frames: {self.out}")
        return 0
