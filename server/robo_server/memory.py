"""What the process has freed goes back to the system; glibc keeps most of what a model took, model after model."""

from __future__ import annotations

import contextlib
import ctypes

M_ARENA_MAX = -8
"""The number by which glibc's `mallopt` knows it."""
HEAPS = 2


def share_heaps() -> None:
    """Let all threads take memory from the same heaps; with one a thread, what a model leaves behind lies in all."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Let glibc return what is free; elsewhere nothing happens."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
