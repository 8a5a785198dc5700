"""Altered requests: a few of the cases of which `benchmarks/fuzz_requests.py` tries many, searched by hypothesis."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_dialog.v1 import success_detector_pb2 as pb
from server_fakes import LONG_S, Served, jpeg, png, question, serving

DETECTOR, ADMIN = "/robo_dialog.v1.SuccessDetectorService/", "/robo_dialog.v1.ModelAdminService/"
WORDS = "zebra quartz"
HONEST = question(png(), jpeg(), instruction=WORDS, request_id="a")
LEAK = re.compile(r"zebra|quartz|/|0x|Traceback|Error|Exception|\.py|nan", re.IGNORECASE)
FAULT = re.compile(r"internal error; the server's log has it under request id [0-9a-zA-Z._:-]+")
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(-1, 255)), min_size=1, max_size=8)
"""Where in the message, and what is there then; -1 for nothing."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.address, options=[("grpc.enable_retries", 0)]) as channel:
        yield channel


@pytest.fixture(autouse=True)
def _the_model_gives_numbers_again(served: Served) -> Iterator[None]:
    yield
    served.scorer.margin = None


def altered(message: bytes, changes: list[tuple[float, int]]) -> bytes:
    data = bytearray(message)
    for place, value in changes:
        at = int(place * len(data))
        data[at : at + 1] = b"" if value < 0 else bytes([value])
    return bytes(data)


def asked(channel: grpc.Channel, method: str, data: bytes) -> tuple[grpc.StatusCode, str, list[bytes]]:
    """Status, its text, and the answers."""
    call, answers = channel.stream_stream(method)(iter([data]), timeout=LONG_S), []
    try:
        answers.extend(call)
    except grpc.RpcError:
        return call.code(), call.details(), answers
    return call.code(), "", answers


@settings(max_examples=100, deadline=None)
@given(CHANGES)
def test_altered_messages_of_a_stream_are_answered_or_refused_without_leaking(channel, changes):
    message = pb.StreamIsSuccessRequest(request=HONEST, steadiness=pb.Steadiness(hysteresis=0.1, hold=1))
    code, text, answers = asked(channel, DETECTOR + "StreamIsSuccess", altered(message.SerializeToString(), changes))
    outcomes = [pb.StreamIsSuccessResponse.FromString(answer) for answer in answers]
    failures = [one.failure for one in outcomes if one.WhichOneof("outcome") == "failure"]
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert all(one.code == grpc.StatusCode.INVALID_ARGUMENT.value[0] for one in failures)
    assert not LEAK.search(" ".join([text, *(one.message for one in failures)]))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["ReportOutcome", "GetModel", "LoadModel", "Rollback", "ListModels"]), st.binary(max_size=40))
def test_any_bytes_to_any_other_method_get_a_status_without_leaking(channel, method, data):
    service = ADMIN if method in ("LoadModel", "Rollback", "ListModels") else DETECTOR
    code, text, _ = asked(channel, service + method, data)
    expected = {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"}
    assert code.name in expected
    assert not LEAK.search(text)


@settings(max_examples=100, deadline=None)
@given(CHANGES, st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_a_model_that_gives_no_number_gives_no_probability_to_any_request(served, channel, changes, margin):
    served.scorer.margin = margin
    code, text, answers = asked(channel, DETECTOR + "IsSuccess", altered(HONEST.SerializeToString(), changes))
    assert code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    assert FAULT.fullmatch(text) if code is grpc.StatusCode.INTERNAL else not LEAK.search(text)
    assert not answers
