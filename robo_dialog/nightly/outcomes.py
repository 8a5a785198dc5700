"""What people and simulators saw, beside what the server had said: the lines of its `outcomes.jsonl`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

FILE = "outcomes.jsonl"


def reviewed(recorded: Path | None, since: datetime | None) -> dict[str, float | int | None]:
    """Shares of SUCCESS among reviewed requests: as it was said, and as it was seen.

    Args:
        recorded: folder that the server keeps outcomes in.
        since: older lines do not count.
    """
    pairs = []
    file = None if recorded is None else recorded / FILE
    for line in file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else ():
        try:
            found = json.loads(line)
            when, said, seen = datetime.fromisoformat(found["time"]), found["verdict"], bool(found["success"])
        except (ValueError, KeyError, TypeError):
            continue  # a line that a crash cut short
        if said is not None and (since is None or when >= since):
            pairs.append((said == "SUCCESS", seen))
    if not pairs:
        return {"reviewed": 0, "said_success": None, "seen_success": None}
    said_share, seen_share = (sum(pair[k] for pair in pairs) / len(pairs) for k in (0, 1))
    return {"reviewed": len(pairs), "said_success": said_share, "seen_success": seen_share}
