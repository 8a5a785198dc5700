"""A server of the store and a robot that never stops asking it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import DetectorError

PROGRAM = (sys.executable, "-c", "from robo_dialog.cli import main; main()")
EVERY_S = 0.5
PATIENCE_S = 60.0
"""Deadline of a request: nights leave a machine with few cores little time for anything else."""
ROLLBACKS = 6
"""An even number puts everything back."""


@dataclass
class Robot:
    """Asks all the time, and counts."""

    address: str
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    """Digests of the models that answered."""
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask until `stop` is set."""
        image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
        with DetectorClient(self.address, timeout_s=PATIENCE_S) as detector:
            detector.wait_ready(120)
            while not self.stop.wait(EVERY_S):
                self.requests += 1
                image[0, 0] = np.frombuffer(self.requests.to_bytes(3, "little"), np.uint8)  # so that memory is silent
                try:
                    self.models.add(detector.is_success([image], "put the red cube on the plate").model_digest)
                except DetectorError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def since(self, requests: int, errors: int) -> dict[str, object]:
        """Counts since there were so many, and the models that answered; those of the time to come begin anew."""
        models, self.models = sorted(self.models), set()
        return {"requests": self.requests - requests, "errors": self.errors[errors:], "models": models}


@contextmanager
def served(store: Path) -> Iterator[Robot]:
    """Serve the champion of a store, whoever that is, while a robot asks."""
    words = ["serve", "--store", str(store), "--port", "0", "--json", "--log-level", "error"]
    words += ["--deadline", str(PATIENCE_S)]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True) as server:
        robot = Robot(f"127.0.0.1:{json.loads(server.stdout.readline())['port']}")  # type: ignore[union-attr]
        thread = threading.Thread(target=robot.ask)
        thread.start()
        try:
            yield robot
        finally:
            robot.stop.set()
            thread.join()
            server.terminate()


def rollbacks(store: ModelStore, address: str) -> dict[str, float]:
    """Seconds of the command, start of Python included, and until the server's answers are the other model's."""
    command, served_s = [], []
    with DetectorClient(address, timeout_s=30) as detector:
        for _ in range(ROLLBACKS):
            wanted, started = str(store.pointers().previous), time.perf_counter()
            subprocess.run(
                [*PROGRAM, "models", "rollback", str(store.root), "--json"], check=True, stdout=subprocess.DEVNULL
            )
            command.append(time.perf_counter() - started)
            while not detector.wait_ready(30).digest.startswith(wanted):
                time.sleep(0.02)
            served_s.append(time.perf_counter() - started)
    return {"rollback_s": statistics.median(command), "rollback_served_s": statistics.median(served_s)}
