"""Who is asked: a server, or a detector in this process. All questions of a moment are asked together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from robo_dialog.detect.client import DeadlineMissedError, DetectorClient, DetectorOverloadedError, RemoteVerdict
from robo_dialog.detect.verdict import Outcome, Request
from robo_dialog.errors import DetectorError

if TYPE_CHECKING:
    from robo_dialog.detect.detector import Detector

Ask = Callable[[Sequence[Request]], Sequence[Outcome | None]]
"""Outcomes of requests, in their order; None where there was no answer in time."""


def server(client: DetectorClient) -> Ask:
    """Ask a server. A look that it has no time for is left out; every other failure is raised.

    The returned function raises DetectorError.
    """

    def ask(requests: Sequence[Request]) -> list[Outcome | None]:
        return [_in_time(answer) for answer in client.is_success_all(requests)]

    return ask


def local(detector: Detector) -> Ask:
    """Ask a detector in this process; the returned function raises RequestError and ModelError."""

    def ask(requests: Sequence[Request]) -> list[Outcome | None]:
        return [verdict.outcome for verdict in detector.verdicts(requests)]

    return ask


def _in_time(answer: RemoteVerdict | DetectorError) -> Outcome | None:
    if isinstance(answer, (DetectorOverloadedError, DeadlineMissedError)):
        return None
    if isinstance(answer, DetectorError):
        raise answer
    return answer.outcome
