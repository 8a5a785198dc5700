"""`robo-dialog report`: a page for people to read what was played, asked, answered and kept."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robo_dialog.errors import ConfigError

if TYPE_CHECKING:
    from robo_dialog.play.report import Counts

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page of a run: its counts, and games to read with their images."""

    path: Run
    """Folder of the run, with dialogs.jsonl, made by `robo-dialog play`."""
    pool: Path | None = None
    """Frame pool that the games were played over; default: the one named in run.json."""
    out: Path | None = None
    """The page to write; default: report.html in the folder of the run."""
    games: int = 200
    """How many games to show; kept ones and every reason for a rejection are among them."""
    seed: int = 0
    """The same seed shows the same games."""
    json: Flag = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Write the page and print the counts."""
        from robo_dialog.play.dialog import read_dialogs
        from robo_dialog.play.report import count, frame_ids, render, sample

        dialogs = list(read_dialogs(self.path / "dialogs.jsonl"))
        if not dialogs:
            raise ConfigError(f"{self.path / 'dialogs.jsonl'}: holds no game; run `robo-dialog play` to its end")
        shown = sample(dialogs, self.games, self.seed)
        images = _pngs(self.pool or _recorded_pool(self.path / "run.json"), frame_ids(shown))
        page = self.out or self.path / "report.html"
        _write(page, render(self.path.resolve().name, dialogs, shown, images))
        counts = count(dialogs)
        if self.json:
            print(json_text.dumps(_as_json(counts, len(shown), page)))
        else:
            _print(counts, len(shown), page)
        return 0


def _recorded_pool(path: Path) -> Path:
    """The pool that run.json names."""
    remedy = "name the pool with --pool"
    try:
        content = json_text.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); {remedy}") from error
    pool = content.get("pool") if isinstance(content, dict) else None
    if not isinstance(pool, str):
        raise ConfigError(f"{path}: key `pool` is {pool!r}, expected the path of a frame pool; {remedy}")
    if not Path(pool).is_dir():
        raise ConfigError(f"{path}: key `pool` is {pool}, which is not there; {remedy}")
    return Path(pool)


def _pngs(path: Path, wanted: set[str]) -> Mapping[str, bytes]:
    """Encoded frames by id."""
    from robo_dialog.play.frames import FrameStore
    from robo_episodes.pool import FramePool

    store = FrameStore(FramePool.open(path))
    return {frame_id: store.png(frame_id) for frame_id in sorted(wanted)}


def _write(page: Path, text: str) -> None:
    from robo_episodes.pool import write_atomically

    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, text.encode())
    except OSError as error:
        raise ConfigError(f"{page}: cannot be written ({error.strerror}); choose another file with --out") from error


def _as_json(counts: Counts, shown: int, page: Path) -> dict[str, object]:
    return {
        "games": counts.games,
        "won": counts.won,
        "aborted": counts.aborted,
        "kept": counts.kept,
        "rejected": dict(counts.rejected),
        "shown": shown,
        "page": str(page),
    }


def _print(counts: Counts, shown: int, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("games", str(counts.games))
    for name, number in (("won", counts.won), ("aborted", counts.aborted), ("kept", counts.kept)):
        table.add_row(name, f"{number} ({number / counts.games:.1%})")
    for reason, number in counts.rejected.items():
        table.add_row(f"rejected first for {reason}", str(number))
    console = Console()
    console.print(table)
    console.print(f"page with {shown} games: {page}", soft_wrap=True)
