"""The summary of a relabelled data set as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROWS = 40
"""Most instructions, and most problems, that are listed one by one."""


def print_summary(found: Mapping[str, Any]) -> None:
    """Print what `--json` would give, the most frequent instructions only."""
    console = Console()
    console.print(_instructions(found["instructions"]))
    table = Table(show_header=False, title=f"labels by {found['bundle']}")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found["verdicts"].items())
    table.add_row("episodes", f"{found['episodes']}: {counts}")
    for name, count in found["problems"].items():
        table.add_row(f"not judged: {name}", str(count))
    if found["agreement"] is not None:
        for name, row in {"verdicts": found, **found["baselines"]}.items():
            table.add_row(f"agreement, {name.replace('_', ' ')}", _agreement(row))
        table.add_row("disagreements", str(found["disagreements"]))
    if found["hindsight"]["instructions"]:
        hindsight = found["hindsight"]
        table.add_row("did something else, too", f"{hindsight['proposals']} proposals")
        table.add_row("failures that did something else", str(hindsight["failures_that_did_something_else"]))
    for target, count in found.get("written", {}).items():
        table.add_row(f"written: {target}", f"{count} files")
    console.print(table)
    for problem in found.get("not_written", [])[:ROWS]:
        console.print(f"[yellow]{escape(problem)}[/]", soft_wrap=True)


def _instructions(counts: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table("instruction", "episodes", "success", "failure", "uncertain", "labelled", "disagreements")
    frequent = sorted(
        counts.items(), key=lambda item: -(item[1]["SUCCESS"] + item[1]["FAILURE"] + item[1]["UNCERTAIN"])
    )
    for text, one in frequent[:ROWS]:
        table.add_row(escape(text), *(str(count) for count in one.values()))
    if len(frequent) > ROWS:
        table.caption = f"and {len(frequent) - ROWS} more; summary.json has all"
    return table


def _agreement(row: Mapping[str, float | None]) -> str:
    balanced = row["balanced_accuracy"]
    return f"{row['agreement']:.1%}" + ("" if balanced is None else f", balanced accuracy {balanced:.1%}")
