"""What the process has freed goes back to the system; glibc keeps most of what a model took, model after model."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Let glibc return what is free; elsewhere nothing happens."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
