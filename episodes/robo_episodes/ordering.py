"""The order in which people expect names with numbers."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which demo_2 comes before demo_10."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name))
