"""Too much, too late, given up: what one request may cost the others."""

from __future__ import annotations

import logging
import queue
import threading

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server.settings import SERVICE
from server_fakes import LONG_S, question, serving, stub_of


@pytest.fixture
def served():
    """A server that takes two requests at a time; its model waits for the gate."""
    with serving(max_in_flight=2) as server:
        yield server


@pytest.fixture
def stub(served):
    with stub_of(served.address) as stub:
        yield stub


@pytest.fixture
def given_up():
    """Set when the server has logged a call that ended without an answer."""
    seen = threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "fields", {}).get("code") in ("CANCELLED", "DEADLINE_EXCEEDED"):
                seen.set()

    logger, watch = logging.getLogger("robo_server"), Watch()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(watch)
    yield seen
    logger.removeHandler(watch)
    logger.setLevel(level)


def occupy(served, stub) -> grpc.Future:
    """Send a request and return when it is in the model, where it stays until the gate opens."""
    served.scorer.gate.clear()
    call = stub.IsSuccess.future(question(), timeout=LONG_S)
    assert served.scorer.entered.acquire(timeout=LONG_S)
    return call


def first_done(calls: list[grpc.Future]) -> grpc.Future:
    """Wait for the first of the calls that ends."""
    ended: queue.SimpleQueue[grpc.Future] = queue.SimpleQueue()
    for call in calls:
        call.add_done_callback(ended.put)
    return ended.get(timeout=LONG_S)


def fill(served, stub) -> list[grpc.Future]:
    """Fill the server; returns the two requests in it: one is in the model, one is decoded and waits for it."""
    calls = [occupy(served, stub), *(stub.IsSuccess.future(question(), timeout=LONG_S) for _ in range(2))]
    refused = first_done(calls)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert all(served.scorer.prepared.acquire(timeout=LONG_S) for _ in range(2))
    return [call for call in calls if call is not refused]


def test_a_request_over_the_bound_is_refused_with_a_time_to_try_again(served, stub):
    accepted = fill(served, stub)
    with pytest.raises(grpc.RpcError) as error:
        stub.IsSuccess(question(), timeout=LONG_S)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(error.value).details)
    assert 0 < retry.retry_delay.ToMilliseconds() < 10_000
    served.scorer.gate.set()
    assert [call.result().verdict for call in accepted] == [pb.VERDICT_SUCCESS] * 2


def test_a_full_server_refuses_the_request_of_a_stream_and_keeps_the_stream(served, stub):
    accepted = fill(served, stub)
    requests: queue.SimpleQueue[pb.StreamIsSuccessRequest] = queue.SimpleQueue()
    answers = stub.StreamIsSuccess(iter(requests.get, None), timeout=LONG_S)
    requests.put(pb.StreamIsSuccessRequest(request=question()))
    failure = next(answers).failure
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert failure.retry_delay_ms > 0
    served.scorer.gate.set()
    assert [call.result().verdict for call in accepted] == [pb.VERDICT_SUCCESS] * 2
    requests.put(pb.StreamIsSuccessRequest(request=question()))
    assert next(answers).response.verdict == pb.VERDICT_SUCCESS
    requests.put(None)


def test_a_client_that_gives_up_while_queued_never_reaches_the_model(served, stub, given_up):
    in_model, queued = fill(served, stub)
    queued.cancel()
    assert given_up.wait(LONG_S)
    later = stub.IsSuccess.future(question(), timeout=LONG_S)
    served.scorer.gate.set()
    assert in_model.result().verdict == later.result().verdict == pb.VERDICT_SUCCESS
    assert queued.cancelled()
    assert served.scorer.runs == 2


def test_a_client_that_gives_up_while_in_the_model_keeps_its_place_until_the_model_is_done(served, stub, given_up):
    in_model, queued = fill(served, stub)
    in_model.cancel()
    assert given_up.wait(LONG_S)
    with pytest.raises(grpc.RpcError) as error:
        stub.IsSuccess(question(), timeout=LONG_S)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    served.scorer.gate.set()
    assert queued.result().verdict == pb.VERDICT_SUCCESS
    assert all(stub.IsSuccess(question(), timeout=LONG_S).verdict for _ in range(3))


def test_the_deadline_of_the_client_holds_and_its_queued_request_never_reaches_the_model(served, stub, given_up):
    in_model = occupy(served, stub)
    with pytest.raises(grpc.RpcError) as error:
        stub.IsSuccess(question(), timeout=0.1)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert given_up.wait(LONG_S)
    served.scorer.gate.set()
    assert in_model.result().verdict == pb.VERDICT_SUCCESS
    assert stub.IsSuccess(question(), timeout=LONG_S).verdict == pb.VERDICT_SUCCESS
    assert served.scorer.runs == 2


def test_the_server_has_a_deadline_where_the_client_has_none():
    with serving(deadline_s=0.05) as served, stub_of(served.address) as stub:
        served.scorer.gate.clear()
        with pytest.raises(grpc.RpcError) as error:
            stub.IsSuccess(question())
        (answer,) = stub.StreamIsSuccess(iter([pb.StreamIsSuccessRequest(request=question())]))
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert answer.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


def test_health_and_model_answer_while_the_server_is_full(served, stub):
    first = occupy(served, stub)
    assert stub.GetModel(pb.GetModelRequest(), timeout=LONG_S).name == "fake"
    with grpc.insecure_channel(served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=LONG_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    served.scorer.gate.set()
    first.result()
