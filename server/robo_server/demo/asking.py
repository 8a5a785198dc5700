"""The real server in its own process, and what it says of each case."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.verdict import Frame
from robo_dialog.errors import RoboDialogError
from robo_server.demo.cases import Case

VerdictName: TypeAlias = Literal["SUCCESS", "FAILURE", "UNCERTAIN"]

_SERVE = "from robo_dialog.cli import main; main()"
_STOP_S = 15.0
"""How long a stopping server may take; its own grace is 10 s."""


@dataclass(frozen=True)
class Answer:
    """What the server said of one case."""

    case: Case
    verdict: VerdictName
    probability: float
    """Calibrated P(success) in [0, 1]."""
    threshold: float
    """The probability around which SUCCESS and FAILURE part, in [0, 1]."""
    latency_ms: float
    """From sending the request to holding the answer."""


@contextmanager
def running_server(log: Path, bundle: Path | None = None) -> Iterator[str]:
    """Run `robo-dialog serve` on a free port; gives its address, stops it at the end.

    Args:
        log: where it logs to.
        bundle: what it serves; None: the embedded one.

    Raises:
        RoboDialogError: the server ended before it was ready; the message has its last log line.
    """
    served = [] if bundle is None else ["--bundle", str(bundle)]
    command = [sys.executable, "-c", _SERVE, "serve", "--port", "0", "--json", "--log-level", "warning", *served]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise RoboDialogError(f"{log}: the server ended with exit code {process.wait()} before it was ready: {last[0]}")
    return str(json.loads(line)["address"])


def ask(client: DetectorClient, cases: Iterable[Case]) -> Iterator[Answer]:
    """Ask about one case after the other, all cameras in one request.

    Raises:
        DetectorError: the server gave no verdict.
    """
    for case in cases:
        frames = [Frame(frame.image, frame.camera) for frame in case.frames]
        begin = time.perf_counter()
        verdict = client.is_success(frames, case.instruction)
        latency_ms = 1000 * (time.perf_counter() - begin)
        yield Answer(case, verdict.outcome.value, verdict.probability, verdict.threshold, latency_ms)
