"""`robo-dialog review`: people look at doubtful verdicts."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.errors import ConfigError

if TYPE_CHECKING:
    from robo_dialog.review.server import ReviewServer
    from robo_episodes.stages.reading import Source


@dataclass(frozen=True)
class Review:
    """Open a local web page with the most doubtful episodes of a folder of labels, to be decided by keyboard.

    Every decision is saved at once to reviews.jsonl, a verdict file: `calibrate` and `evaluate` take it with --reviews,
    `annotate` writes it beside the recordings. Ends with Ctrl-C.
    """

    labels: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LABELS")]
    """Folder of labels, made by `robo-dialog relabel`."""
    episodes: int = 200
    """Most episodes on the page; the most doubtful ones."""
    reviewer: str | None = None
    """Your name in the file; default: that of the account."""
    out: Path | None = None
    """File of decisions; default: reviews.jsonl in the folder of labels."""
    port: int = 0
    """Port on 127.0.0.1; 0: any that is free."""
    browser: bool = True
    """Whether to open the page in a browser."""

    def run(self) -> int:
        """Choose, read frames, serve until Ctrl-C."""
        import webbrowser

        if self.episodes < 1:
            raise ConfigError(f"--episodes {self.episodes}: show at least 1")
        with self._server() as server:
            print(f"review at {server.url} (Ctrl-C ends it)", flush=True)
            if self.browser:
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print(f"decisions on {len(server.decisions.decided())} episodes: {self._file}", file=sys.stderr)
        return 0

    @property
    def _file(self) -> Path:
        from robo_dialog.review.decisions import REVIEWS

        return self.out or self.labels / REVIEWS

    def _server(self) -> ReviewServer:
        from rich.console import Console

        from robo_dialog.relabel.folder import LABELS, LabelsFolder
        from robo_dialog.review.decisions import Decisions
        from robo_dialog.review.doubt import most_doubtful
        from robo_dialog.review.frames import pictures
        from robo_dialog.review.page import episodes, render
        from robo_dialog.review.server import ReviewServer

        source, folder = self._source(), LabelsFolder(self.labels)
        decisions = Decisions(self._file, self.reviewer or getpass.getuser())
        with Console(stderr=True).status("choosing episodes and reading their frames"):
            chosen = most_doubtful(folder.rows_of(self.labels / LABELS), self.episodes, decisions.decided())
            shown = pictures(folder, chosen, source)
        rows = [row for row in chosen if row.source in shown]
        if not rows:
            raise ConfigError(f"{self.labels}: no episode can be shown; are the recordings still where they were?")
        told = episodes(rows, shown)
        page = partial(render, self.labels.resolve().name, told, rows, decisions)
        return ReviewServer(self.port, page, rows, decisions)

    def _source(self) -> Source:
        """How the episodes were read, as run.json tells."""
        import json

        from robo_dialog.relabel.folder import LABELS, RUN
        from robo_episodes.reading_choice import ReadingChoice
        from robo_episodes.selection import Selection
        from robo_episodes.stages.reading import Source

        try:
            told: dict[str, Any] = json.loads((self.labels / RUN).read_text(encoding="utf-8"))["options"]
            layout, cameras = told["reading"].pop("layout"), tuple(told["cameras"])
            choice = ReadingChoice(layout=None if layout is None else Path(layout), **told["reading"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self.labels}: is no folder of labels ({error!r}); make one: robo-dialog relabel SOURCE --out FOLDER"
            ) from error
        if not (self.labels / LABELS).is_file():
            raise ConfigError(f"{self.labels / LABELS}: is missing; run `robo-dialog relabel` to its end")
        selection = Selection(first=True, cameras=cameras)
        return Source.of(choice.layouts(), selection, choice.limits(), choice.instruction)
