"""The client that robots use: verdicts, errors by name, deadlines, retries; against the real server."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import grpc
import numpy as np
import pytest

from robo_dialog.detect.client import (
    DeadlineMissedError,
    DetectorClient,
    DetectorError,
    DetectorFailedError,
    DetectorOverloadedError,
    DetectorUnavailableError,
    RequestRejectedError,
    encode_png,
)
from robo_dialog.detect.verdict import Frame, Outcome, Request
from robo_dialog.errors import RoboDialogError
from server_fakes import DIGEST, LONG_S, jpeg, png, serving

DO = "put the block on the plate"
WHITE = np.full((20, 30, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


@pytest.fixture
def scorer(served):
    yield served.scorer
    served.scorer.failure = None


@pytest.fixture
def client(served):
    with DetectorClient(served.address, timeout_s=LONG_S) as client:
        yield client


@pytest.mark.parametrize("frame", [png(), jpeg(), WHITE, Frame(png(), "wrist")], ids=["png", "jpeg", "array", "frame"])
def test_any_kind_of_frame_gets_a_verdict(client, frame):
    verdict = client.is_success([frame], DO)
    assert verdict.outcome is Outcome.SUCCESS
    assert verdict.probability > verdict.threshold
    assert verdict.model_digest == DIGEST
    assert verdict.timings.total_ms > 0


def test_frames_keep_their_order(client):
    first, second = client.is_success([WHITE, np.zeros_like(WHITE)], DO).frame_probabilities
    assert first > 0.9
    assert second < 0.1


def test_the_request_id_is_sent(client):
    assert client.is_success([WHITE], DO, request_id="robot-7").request_id == "robot-7"


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 30, 3), (33, 17, 3)])
def test_png_holds_the_very_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded[:, :, ::-1], pixels)


def test_png_takes_arrays_that_are_views():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert encode_png(pixels[::2, ::-1]) == encode_png(pixels[::2, ::-1].copy())


@pytest.mark.parametrize(
    "pixels",
    [WHITE.astype(np.float32), WHITE[:, :, 0], np.zeros((20, 30, 4), np.uint8), np.zeros((0, 30, 3), np.uint8)],
    ids=["float", "grey", "rgba", "empty"],
)
def test_arrays_that_are_no_rgb_images_are_rejected_before_sending(client, pixels):
    with pytest.raises(RequestRejectedError, match=r"expected uint8 \[height, width, 3\]"):
        client.is_success([pixels], DO)


def test_a_request_over_the_size_limit_is_rejected_before_sending(client):
    with pytest.raises(RequestRejectedError, match="send JPEG or smaller images"):
        client.is_success([bytes(9 << 20)], DO)


def test_a_bad_request_is_rejected_with_its_field(client):
    with pytest.raises(RequestRejectedError, match=r"frames\[0\].image: is not a JPEG or PNG image"):
        client.is_success([b"GIF89a"], DO)


def test_a_fault_of_the_server_is_told_with_the_request_id(client, scorer):
    scorer.failure = RuntimeError("secret")
    with pytest.raises(DetectorFailedError, match="under request id robot-7"):
        client.is_success([WHITE], DO, request_id="robot-7")


def test_a_full_server_is_overloaded():
    with (
        serving(max_in_flight=1) as served,
        DetectorClient(served.address, timeout_s=LONG_S) as client,
        ThreadPoolExecutor(1) as other,
    ):
        served.scorer.gate.clear()
        first = other.submit(client.is_success, [WHITE], DO)
        assert served.scorer.entered.acquire(timeout=LONG_S)
        try:
            with pytest.raises(DetectorOverloadedError, match="try again later"):
                client.is_success([WHITE], DO)
        finally:
            served.scorer.gate.set()
        assert first.result().outcome is Outcome.SUCCESS


def test_a_slow_server_misses_the_deadline():
    with serving() as served, DetectorClient(served.address, timeout_s=0.1) as client:
        served.scorer.gate.clear()
        with pytest.raises(DeadlineMissedError):
            client.is_success([WHITE], DO)


def test_no_server_is_unavailable_within_the_deadline():
    with (
        DetectorClient("127.0.0.1:1", timeout_s=5) as client,
        pytest.raises(DetectorUnavailableError, match=r"127\.0\.0\.1:1"),
    ):
        client.is_success([WHITE], DO)


def test_every_error_is_a_robo_dialog_error():
    with DetectorClient("127.0.0.1:1", timeout_s=5) as client, pytest.raises(RoboDialogError):
        client.model()


def test_the_model_is_described(client):
    model = client.model()
    assert (model.name, model.digest, model.threshold, model.image_size) == ("fake", DIGEST, 0.5, (32, 32))
    assert model.metrics == {"auroc": 0.9}
    assert model.loaded_at.isoformat() == "2026-01-02T00:00:00+00:00"


def test_wait_ready_returns_the_model_of_a_ready_server(client):
    assert client.wait_ready(LONG_S).digest == DIGEST


def test_wait_ready_gives_up_in_time():
    with DetectorClient("127.0.0.1:1") as client, pytest.raises(DetectorUnavailableError, match=r"within 0\.2 s"):
        client.wait_ready(0.2)


def test_a_stream_gives_verdicts_in_order_and_errors_as_values(client):
    requests = [Request([WHITE], DO), Request([Frame(b"GIF89a")], DO), Request([np.zeros_like(WHITE)], DO)]
    good, bad, worse = client.stream(requests)
    assert good.outcome is Outcome.SUCCESS
    assert isinstance(bad, RequestRejectedError)
    assert worse.outcome is Outcome.FAILURE


def test_a_stream_serves_a_control_loop(client):
    requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    answers = client.stream(iter(requests.get, None))
    for _ in range(3):
        requests.put(Request([WHITE], DO))
        assert next(answers).outcome is Outcome.SUCCESS
    requests.put(None)
    assert list(answers) == []


def test_a_stream_passes_on_what_its_requests_raise(client):
    def broken_camera() -> Iterator[Request]:
        yield Request([WHITE], DO)
        raise OSError("camera unplugged")

    answers = client.stream(broken_camera())
    assert next(answers).outcome is Outcome.SUCCESS
    with pytest.raises(OSError, match="camera unplugged"):
        next(answers)


def test_a_stream_to_nowhere_is_unavailable():
    with DetectorClient("127.0.0.1:1") as client, pytest.raises(DetectorUnavailableError):
        list(client.stream([Request([WHITE], DO)], timeout_s=5))


class Flaky(grpc.GenericRpcHandler):
    """A server whose first answers have one status code, and then OK would come."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.calls = 0
        self._code = code

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls += 1
            if self.calls < 3:
                context.abort(self._code, "later")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def flaky_server(code: grpc.StatusCode) -> Iterator[tuple[Flaky, DetectorClient]]:
    flaky = Flaky(code)
    server = grpc.server(ThreadPoolExecutor(1), handlers=[flaky])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with DetectorClient(f"127.0.0.1:{port}", timeout_s=LONG_S) as client:
        yield flaky, client
    server.stop(None)


def test_unavailable_is_tried_again():
    with flaky_server(grpc.StatusCode.UNAVAILABLE) as (flaky, client):
        client.model()
    assert flaky.calls == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_nothing_else_is_tried_again(code):
    with flaky_server(code) as (flaky, client), pytest.raises(DetectorError):
        client.model()
    assert flaky.calls == 1
