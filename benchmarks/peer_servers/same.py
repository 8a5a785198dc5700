"""What all peers share: the embedded detector and how a question comes in JSON.

All run the same `Detector` (decoding, scaling, tokenising, ONNX Runtime with one thread a run), in batches of up to 8,
on all cores, with no delay to fill a batch. These files run in the Python of the peers, as `python with_NAME.py PORT`,
and find robo_dialog by PYTHONPATH; they need the peer and what robo_dialog.detect needs, nothing else.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
from collections.abc import Mapping

from robo_dialog.detect import Detector, Request
from robo_dialog.models import embedded_bundle

HOST = "127.0.0.1"
BATCH = 8
CORES = len(os.sched_getaffinity(0))


def open_detector() -> Detector:
    """The embedded detector with one thread a run."""
    return Detector.load(embedded_bundle(), threads=1)


def asked(document: Mapping[str, str]) -> Request:
    """The request in a JSON document."""
    return Request([base64.b64decode(document["image"])], document["instruction"])


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for_signal() -> None:
    """Until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
