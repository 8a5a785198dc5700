"""Who goes first where there are more threads than cores: those that talk with clients, before those that compute."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

NICE = 5
"""Enough that a thread which has slept goes first when it wakes; what computes still gets most of an idle core."""
SWITCH_S = 0.0005
"""Longest that a thread waits for another that runs Python; the interpreter's own 5 ms are a whole verdict."""


def step_back() -> None:
    """Let the calling thread compute when the others have nothing to do; Linux alone knows priorities of threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def switch_often() -> None:
    """Let threads take turns more often than the interpreter does by itself."""
    sys.setswitchinterval(SWITCH_S)
