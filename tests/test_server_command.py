"""`robo-dialog serve` as a person starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import bundles
from robo_dialog.detect import Detector
from robo_dialog.detect.client import DetectorClient
from server_fakes import LONG_S, serving

SERVE = (sys.executable, "-c", "from robo_dialog.cli import main; main()", "serve")


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVE, *options], capture_output=True, text=True, timeout=60, check=False)


def test_a_served_bundle_gives_the_verdicts_of_the_detector_and_stops_in_order(tmp_path):
    bundle = bundles.write(tmp_path / "bundle")
    local = Detector.load(bundle, threads=1).verdict([bundles.grey(140), bundles.grey(200)], "lift it")
    command = [*SERVE, "--bundle", str(bundle), "--port", "0", "--threads", "1", "--json"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        ready = json.loads(child.stdout.readline())
        with DetectorClient(ready["address"], timeout_s=LONG_S) as client:
            remote = client.is_success([bundles.grey(140), bundles.grey(200)], "lift it")
            model = client.model()
        child.send_signal(signal.SIGTERM)
        rest, log = child.communicate(timeout=LONG_S)
    assert (child.returncode, rest) == (0, "")
    assert ready == {
        "address": f"127.0.0.1:{ready['port']}",
        "port": ready["port"],
        "pid": child.pid,
        "model": "by-hand",
        "digest": local.model_digest,
    }
    assert (remote.outcome, remote.probability, remote.threshold, remote.frame_probabilities, remote.model_digest) == (
        local.outcome,
        local.probability,
        local.threshold,
        local.frame_probabilities,
        local.model_digest,
    )
    assert (model.name, model.digest, model.base_model) == ("by-hand", local.model_digest, "by hand")
    assert (model.image_size, model.metrics) == ((bundles.SIZE, bundles.SIZE), bundles.LINEAGE.metrics)
    (line,) = [line for line in map(json.loads, log.splitlines()) if line["event"] == "ready"]
    assert (line["address"], line["digest"]) == (ready["address"], local.model_digest)


def test_starting_imports_no_training_library():
    code = (
        "import sys, robo_server.app, robo_server.command, robo_server.model, robo_dialog.detect.detector; "
        "print(sorted({'torch', 'transformers', 'peft', 'accelerate', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--host", "0.0.0.0"), 2, "--insecure-allow-remote"),  # noqa: S104
        (("--port", "70000"), 2, "--port 70000 is out of range"),
        (("--bundle", "nowhere", "--port", "0"), 6, "nowhere: is not a bundle folder"),
    ],
)
def test_a_wrong_option_ends_with_its_code_and_one_sentence(options, code, text):
    done = serve(*options)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_the_second_server_before_its_model_is_loaded(tmp_path):
    with serving() as served:
        port = served.address.rpartition(":")[2]
        done = serve("--port", port, "--bundle", str(tmp_path / "never read"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"robo-dialog: --port {port}: another program listens on 127.0.0.1:{port};")
    assert len(done.stderr.splitlines()) == 1
