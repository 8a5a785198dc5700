"""Runs one command of a night in a process of its own: its memory ends with it, and it ends with us."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from robo_dialog.errors import NightlyError, OverBudgetError

_PROGRAM = (sys.executable, "-c", "from robo_dialog.cli import main; main()")
_PDEATHSIG = 1
_LAST_WORDS = 400
"""Characters of a failed command's log that go into the message."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    facts: dict[str, Any]
    """The JSON object that it printed; empty if none."""


Run: TypeAlias = Callable[[Sequence[str], Path], Ran]
"""Runs a command (its words after `robo-dialog`) with a log; raises `OverBudgetError` when the time is over."""


def in_child(ends: float) -> Run:
    """Run commands until a moment of `time.monotonic`."""

    def run(words: Sequence[str], log: Path) -> Ran:
        with log.open("ab") as said:
            said.write(f"$ robo-dialog {' '.join(words)}\n".encode())
            said.flush()
            child = subprocess.Popen(
                [*_PROGRAM, *words], stdout=subprocess.PIPE, stderr=said, preexec_fn=_end_with_parent(os.getpid())
            )
            try:
                out, _ = child.communicate(timeout=max(0.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise OverBudgetError(f"{words[0]}: was not done when the night's time was over") from error
            finally:
                child.kill()
                child.wait()
        return Ran(child.returncode, _object_in(out))

    return run


def checked(ran: Ran, words: Sequence[str], log: Path, allowed: Sequence[int] = (0,)) -> Ran:
    """The same, if it ended as it should.

    Raises:
        NightlyError: it did not; the message has its last words.
    """
    if ran.code in allowed:
        return ran
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:] if log.exists() else ""
    raise NightlyError(f"{words[0]}: ended with {ran.code}; {log} says: ...{said}")


def _end_with_parent(parent: int) -> Callable[[], None]:
    """For Linux: the kernel kills the child when we die, however we die. Loaded before the fork, called after it."""
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask


def _object_in(out: bytes) -> dict[str, Any]:
    lines = [line for line in out.decode("utf-8", "replace").splitlines() if line.startswith("{")]
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
