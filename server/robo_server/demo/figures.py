"""How good a detector's answers on one domain are; numbers only, no files and no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robo_dialog.tune.metrics import (
    Flags,
    auroc,
    balanced_accuracy,
    bootstrap_interval,
    expected_calibration_error,
    recalls,
)
from robo_server.demo.asking import Answer


@dataclass(frozen=True)
class Row:
    """What a comparison table says of one way to answer; shares in [0, 1], NaN where a class does not occur."""

    balanced_accuracy: float
    recall_success: float
    recall_failure: float


@dataclass(frozen=True)
class Latency:
    """Milliseconds from sending the request to holding the answer, network of this machine included."""

    p50: float
    p95: float


@dataclass(frozen=True)
class DomainFigures:
    """The figures of one domain. Predictions are `probability >= threshold`, so abstaining hides no mistake."""

    domain: str
    n: int
    successes: int
    balanced_accuracy: float
    interval: tuple[float, float]
    """95 % bootstrap interval of the balanced accuracy over episodes."""
    recall_success: float
    recall_failure: float
    auroc: float
    ece: float
    abstained: float
    """Share of answers that were UNCERTAIN, in [0, 1]."""
    latency_ms: Latency
    baselines: dict[str, Row]
    """`always_yes` and `always_no` on the same episodes."""


def summarise(domain: str, answers: Sequence[Answer]) -> DomainFigures:
    """Figures of the `answers` on one domain; deterministic."""
    labels = np.array([answer.case.success for answer in answers], dtype=np.bool_)
    probabilities = np.array([answer.probability for answer in answers], dtype=np.float64)
    predictions = np.array([answer.probability >= answer.threshold for answer in answers], dtype=np.bool_)
    row = _row(labels, predictions)
    latency = np.quantile([answer.latency_ms for answer in answers], [0.5, 0.95])
    return DomainFigures(
        domain=domain,
        n=len(answers),
        successes=int(labels.sum()),
        balanced_accuracy=row.balanced_accuracy,
        interval=bootstrap_interval(
            lambda rows: balanced_accuracy(labels[rows], predictions[rows]),
            [answer.case.episode_id for answer in answers],
        ),
        recall_success=row.recall_success,
        recall_failure=row.recall_failure,
        auroc=auroc(labels, probabilities),
        ece=expected_calibration_error(labels, probabilities),
        abstained=sum(answer.verdict == "UNCERTAIN" for answer in answers) / len(answers),
        latency_ms=Latency(float(latency[0]), float(latency[1])),
        baselines={
            "always_yes": _row(labels, np.ones_like(labels)),
            "always_no": _row(labels, np.zeros_like(labels)),
        },
    )


def as_json(figures: DomainFigures) -> dict[str, Any]:
    """The figures as JSON values; what is NaN becomes null, which every JSON reader knows."""
    return {name: _plain(value) for name, value in asdict(figures).items()}


def print_tables(domains: Sequence[DomainFigures], show: Callable[[Any], None]) -> None:
    """Show one comparison table of all domains and one of calibration and speed.

    Args:
        domains: the figures.
        show: prints a rich renderable, such as `rich.console.Console().print`.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="Balanced accuracy and recall on episodes never trained on", box=SIMPLE_HEAD)
    for column in ("domain", "answers", "balanced", "95 % interval", "successes", "failures"):
        table.add_column(column, justify="left" if column in ("domain", "answers") else "right")
    for figures in domains:
        interval = " – ".join(map(_percent, figures.interval))
        table.add_row(figures.domain, "detector", _percent(figures.balanced_accuracy), interval, *_recalls(figures))
        for name, row in figures.baselines.items():
            table.add_row("", name.replace("_", "-"), _percent(row.balanced_accuracy), "", *_recalls(row))
        table.add_section()
    show(table)
    rest = Table(title="Calibration and speed", box=SIMPLE_HEAD)
    for column in ("domain", "episodes", "AUROC", "ECE", "abstained", "latency p50 / p95"):
        rest.add_column(column, justify="left" if column == "domain" else "right")
    for figures in domains:
        latency = f"{figures.latency_ms.p50:.0f} / {figures.latency_ms.p95:.0f} ms"
        numbers = (f"{figures.auroc:.3f}", f"{figures.ece:.3f}", _percent(figures.abstained), latency)
        rest.add_row(figures.domain, f"{figures.n} ({figures.successes} succeeded)", *numbers)
    show(rest)


def _row(labels: Flags, predictions: Flags) -> Row:
    both = recalls(labels, predictions)
    return Row(balanced_accuracy(labels, predictions), both.success, both.failure)


def _recalls(row: Row | DomainFigures) -> tuple[str, str]:
    return _percent(row.recall_success), _percent(row.recall_failure)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def _plain(value: object) -> Any:  # noqa: ANN401  JSON has no narrower type
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
