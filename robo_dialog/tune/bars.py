"""Progress bars on stderr for what asks a model many questions; they vanish when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Update = Callable[[int, int], None]
"""Called with what is done, and with all there is to do."""


@contextmanager
def bars() -> Iterator[Callable[[str], Update]]:
    """A place for bars: call it with a title for each."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def begin(title: str) -> Update:
            task = progress.add_task(title)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield begin
