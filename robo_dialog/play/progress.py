"""What a terminal shows of a run: a bar while it plays, one table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from robo_dialog.play.dialog import Dialog


@contextmanager
def counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr that is told how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


class Bar:
    """A progress bar on stderr with games per second and the shares that were won and kept since it started.

    Args:
        games: that are wanted.
        done: of them, on disk already.
    """

    def __init__(self, games: int, done: int) -> None:
        columns = (
            TextColumn("playing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[shares]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("play", total=games, completed=done, rate="", shares="")
        self._played = self._won = self._kept = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, dialogs: Sequence[Dialog]) -> None:
        """Count another batch."""
        self._played += len(dialogs)
        self._won += sum(dialog.outcome == "won" for dialog in dialogs)
        self._kept += sum(dialog.kept for dialog in dialogs)
        seconds = self._progress.tasks[0].elapsed or 0.0
        self._progress.update(
            self._task,
            advance=len(dialogs),
            rate=f"{self._played / seconds:.1f} games/s" if seconds else "",
            shares=f"won {self._won / self._played:.0%}, kept {self._kept / self._played:.0%}",
        )


def print_summary(found: Mapping[str, Any]) -> None:
    """The summary of a run as a table, its warnings below."""
    table = Table("figure", "value", title="dialog games")
    for key, value in found.items():
        if key == "rejected":
            for reason, count in value.items():
                table.add_row(f"rejected: {reason}", str(count))
        elif key != "warnings":
            table.add_row(key.replace("_", " "), "-" if value is None else str(value))
    console = Console()
    console.print(table)
    for warning in found["warnings"]:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)
