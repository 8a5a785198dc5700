"""Log lines for machines: one JSON object a line on stderr. Images and instructions are never written."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = logging.getLogger("robo_server")


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


def event(name: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: object) -> None:
    """Log `name` with `fields`; `error` adds the type and the place of an exception."""
    LOGGER.log(level, name, extra={"fields": fields}, exc_info=error)


def log_to_stderr(level: str) -> None:
    """Send all log lines of the process to stderr as JSON, from `level` (debug, info, warning, error) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _describe(error: BaseException) -> dict[str, object]:
    places = traceback.extract_tb(error.__traceback__)
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [f"{place.filename}:{place.lineno} {place.name}" for place in places],
    }
