"""Log lines for machines: one JSON object a line on stderr. Images and instructions are never written.

Lines are written by a thread of their own: whoever reads them slowly, or not at all, holds up no verdict.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections import Counter, deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from robo_server.calls import Ended

LOGGER = logging.getLogger("robo_server")
EVENTS: Counter[str] = Counter()
"""How often each event has happened in this process; calls are counted elsewhere."""
QUEUE = 10_000
"""Lines that wait to be written; more are dropped and counted as `lines_dropped`."""
PAUSE_S = 0.05
"""A line waits no longer than this until it is written."""
FAREWELL_S = 1.0
"""How long the end of the process waits for lines to be written."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, then the fields given by `event`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. Of an exception only type and place are told: its text may quote a request."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _describe(record.exc_info[1])
        return json.dumps(line)


class BackgroundLines(logging.Handler):
    """Writes lines to a stream in a thread of its own; never waits for it.

    The thread looks for lines by the clock: to wake it for each of them would cost the event loop more than the line.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[logging.LogRecord] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; it is dropped when too many wait."""
        if len(self._waiting) < QUEUE:
            self._waiting.append(record)
        else:
            EVENTS["lines_dropped"] += 1

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._closing.set()
        self._thread.join(FAREWELL_S)
        super().close()

    def _write(self) -> None:
        while not self._closing.wait(PAUSE_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        records = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not records:
            return
        try:
            self._stream.write("".join(f"{self.format(record)}\n" for record in records))
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more
            EVENTS["lines_dropped"] += len(records)


def event(name: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: object) -> None:
    """Log `name` with `fields` and count it; `error` adds the type and the place of an exception."""
    EVENTS[name] += 1
    LOGGER.log(level, name, extra={"fields": fields}, exc_info=error)


def log_call(ended: Ended) -> None:
    """Write the line of a call."""
    level = logging.INFO if ended.error is None else logging.ERROR
    if not LOGGER.isEnabledFor(level):
        return
    call = ended.call
    fields: dict[str, object] = {"request_id": call.request_id, "method": call.method, "code": ended.code.name}
    if call.origin.caller:
        fields["caller"] = call.origin.caller
    if call.judged is not None:
        fields["verdict"] = str(call.judged.verdict.outcome)
    fields |= {"frames": call.frames, "bytes": call.size_bytes, "total_ms": round(ended.total_s * 1e3, 3)}
    LOGGER.log(level, "call", extra={"fields": fields}, exc_info=ended.error)


def log_to_stderr(level: str) -> None:
    """Send all log lines of the process to stderr as JSON, from `level` (debug, info, warning, error) on."""
    handler = BackgroundLines(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _describe(error: BaseException) -> dict[str, object]:
    places = traceback.extract_tb(error.__traceback__)
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [f"{place.filename}:{place.lineno} {place.name}" for place in places],
    }
