"""`robo-dialog models check`: what a checkpoint can do, as a table or one JSON object."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from robo_dialog.errors import EXIT_CODES, ModelError

if TYPE_CHECKING:
    from robo_dialog.tune.conformance import Step


def checked(model: str, *, device: str | None, as_json: bool) -> int:
    """Walk the whole way with a model and tell how far it went; leaves no files.

    Args:
        model: folder, or hub name, or `tiny` for the embedded one.
        device: torch device; a GPU where there is one, if left out.
        as_json: print one JSON object instead of a table.

    Returns:
        0 if the model can be used, be it without a bundle; the exit code of a `ModelError` if not.
    """
    from robo_dialog.models import embedded_model
    from robo_dialog.tune.conformance import check

    with tempfile.TemporaryDirectory() as work:
        steps = check(embedded_model() if model == "tiny" else model, Path(work), device=device)
    if as_json:
        print(json.dumps({"model": model, "steps": {step.name: _told(step) for step in steps}}))
    else:
        _print(model, steps)
    outcomes = {step.name: step.outcome for step in steps}
    usable = outcomes["play"] == "passed" and "failed" not in outcomes.values()
    return 0 if usable else EXIT_CODES[ModelError]


def _told(step: Step) -> dict[str, object]:
    return {key: value for key, value in asdict(step).items() if key != "name"}


def _print(model: str, steps: list[Step]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "outcome", "s", "", title=model)
    for step in steps:
        table.add_row(step.name, step.outcome, f"{step.seconds:.1f}", step.note)
    Console().print(table)
