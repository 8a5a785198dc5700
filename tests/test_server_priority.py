"""Threads that compute step back behind those that talk with clients, and nothing else does."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from robo_server.priority import NICE, step_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows priorities of threads")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_alone() -> None:
    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back) as stepped, ThreadPoolExecutor(1) as other:
        assert stepped.submit(niceness).result() == max(before, NICE)
        assert other.submit(niceness).result() == before
    assert niceness() == before


def test_a_process_that_has_stepped_back_further_stays_there() -> None:
    def nice_already() -> int:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        step_back()
        return niceness()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(nice_already).result() == 15
