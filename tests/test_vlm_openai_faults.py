"""Endpoints that fail lose no other prompt's answer and show no secret; real sockets on this machine, no sleeping."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from openai_endpoint import (
    HANG,
    YES,
    Endpoint,
    Reply,
    Sleeper,
    as_json,
    ask,
    connect,
    in_turn,
    listed_tokens,
    said,
    serving,
    text_of,
)
from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.vlm.endpoint import LONGEST_ANSWER, LONGEST_RETRY_AFTER_S, Retries, _received
from robo_dialog.vlm.openai_vlm import OpenAIVLM
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import PromptsFailed

KEY = "sk-0123456789abcdef"
ODD_ANSWERS = {
    "text": Reply(body=b"<html>busy</html>"),
    "cut": Reply(body=b'{"choices": ['),
    "deep": Reply(body=b"[" * 100_000),
    "empty": as_json({}),
    "no choice": as_json({"choices": []}),
    "no logprobs": as_json({"choices": [{"message": {"content": "yes"}, "logprobs": None}]}),
    "no token": listed_tokens([]),
    "logprob is text": listed_tokens([(" yes", "-0.1")]),
    "logprob is null": listed_tokens([(" yes", None)]),
    "logprob is NaN": listed_tokens([(" yes", float("nan"))]),
    "logprob is a probability": listed_tokens([(" yes", 0.9)]),
    "only impossible tokens": listed_tokens([(" yes", -9999.0), (" no", float("-inf"))]),
    "too long": Reply(body=b" " * LONGEST_ANSWER + YES.body),
}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Says yes until a test replaces `reply`."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(in_turn(YES)) as running:
        yield running


# What is tried again


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_a_malformed_answer_is_asked_for_again(endpoint: Endpoint, name: str) -> None:
    endpoint.reply = in_turn(ODD_ANSWERS[name], YES)
    assert connect(endpoint).score([ask()], ANSWERS)[0, 1] > -0.2
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_an_endpoint_that_only_gives_malformed_answers_fails_the_prompt(endpoint: Endpoint, name: str) -> None:
    endpoint.reply = in_turn(ODD_ANSWERS[name])
    with pytest.raises(PromptsFailed, match=r"chat/completions: malformed (answer|logprobs).*attempts: 3"):
        connect(endpoint, retries=Retries(attempts=3)).score([ask()], ANSWERS)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_passing_fault_is_waited_out(endpoint: Endpoint, status: int) -> None:
    sleeper = Sleeper()
    endpoint.reply = in_turn(Reply(status), Reply(status), YES)
    connect(endpoint, sleep=sleeper, retries=Retries(first_s=1.0)).score([ask()], ANSWERS)
    assert len(sleeper.waits) == 2
    assert 0.5 <= sleeper.waits[0] <= 1.0 <= sleeper.waits[1] <= 2.0


def test_an_endpoint_that_does_not_answer_in_time_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(HANG, YES)
    assert connect(endpoint, timeout_s=0.5, retries=Retries(attempts=20)).score([ask()], ANSWERS).shape == (1, 2)
    assert len(endpoint.requests) >= 2


def test_an_endpoint_that_never_answers_fails_the_prompt(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(HANG)
    with pytest.raises(PromptsFailed, match=r"no answer within 0.2 s.*attempts: 2"):
        connect(endpoint, timeout_s=0.2, retries=Retries(attempts=2)).score([ask()], ANSWERS)


def test_an_answer_that_drips_in_is_given_up_at_the_deadline(endpoint: Endpoint) -> None:
    dripping, over = connect(endpoint)._endpoint._client, time.monotonic() - 1.0
    with dripping.stream("POST", f"{endpoint.url}/x", content=b"{}") as response, pytest.raises(TimeoutError):
        _received(response, over)


def test_an_answer_that_breaks_off_is_asked_for_again(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(Reply(body=YES.body[:-9], headers={"Content-Length": "99999", "Connection": "close"}), YES)
    assert connect(endpoint).score([ask()], ANSWERS)[0, 1] > -0.2


def test_waits_grow_to_a_limit_and_differ_between_requests() -> None:
    retries = Retries(first_s=1.0, longest_s=8.0, seed=3)
    assert [retries.wait_s(0, attempt, 0.0) for attempt in range(1, 7)] == pytest.approx(
        [0.75, 1.5, 3.0, 6.0, 6.0, 6.0], rel=1 / 3
    )
    assert len({retries.wait_s(request, 2, 0.0) for request in range(20)}) == 20
    assert retries.wait_s(7, 2, 0.0) == Retries(first_s=1.0, longest_s=8.0, seed=3).wait_s(7, 2, 0.0)
    assert retries.wait_s(0, 10**6, 0.0) <= 8.0


@pytest.mark.parametrize(
    ("asked", "least"), [("7", 7.0), ("999999", LONGEST_RETRY_AFTER_S), ("soon", 0.0), ("-5", 0.0)]
)
def test_retry_after_is_honoured_within_limits(endpoint: Endpoint, asked: str, least: float) -> None:
    sleeper = Sleeper()
    endpoint.reply = in_turn(Reply(429, headers={"Retry-After": asked}), YES)
    connect(endpoint, sleep=sleeper).score([ask()], ANSWERS)
    assert len(sleeper.waits) == 1
    assert least <= sleeper.waits[0] <= max(least, 0.5)


def test_retry_after_may_be_a_date(endpoint: Endpoint) -> None:
    sleeper = Sleeper()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    endpoint.reply = in_turn(Reply(503, headers={"Retry-After": date}), YES)
    connect(endpoint, sleep=sleeper).score([ask()], ANSWERS)
    assert 30 < sleeper.waits[0] <= 60


def test_retries_without_an_attempt_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 attempt"):
        Retries(attempts=0)


# What is lost


def test_one_bad_prompt_loses_no_other_score(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: Reply(500, b'{"message": "out of memory"}') if text_of(request) == "bad" else YES
    with pytest.raises(PromptsFailed, match=r"1 of 5 prompts.*HTTP 500 \"out of memory\"") as caught:
        connect(endpoint).score([ask("bad" if number == 3 else "good") for number in range(5)], ANSWERS)
    assert list(caught.value.failures) == [3]
    results = np.asarray(caught.value.results)
    np.testing.assert_array_equal(np.isnan(results).any(1), [False, False, False, True, False])


def test_one_bad_prompt_loses_no_other_text(endpoint: Endpoint) -> None:
    refused = as_json({"error": {"message": "too many images"}}, status=400)
    endpoint.reply = lambda request: refused if text_of(request) == "bad" else said("Is it red?")
    with pytest.raises(PromptsFailed, match="too many images") as caught:
        connect(endpoint).generate([ask("good"), ask("bad")], seed=0, temperature=1.0, max_tokens=8)
    assert caught.value.results == ["Is it red?", ""]
    assert len(endpoint.requests) == 2


def test_an_endpoint_that_is_not_there_fails_every_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        vlm = OpenAIVLM("m", f"http://127.0.0.1:{taken.getsockname()[1]}/v1", sleep=Sleeper())
        with pytest.raises(PromptsFailed, match="check the URL and that the server runs") as caught:
            vlm.score([ask(), ask()], ANSWERS)
    assert list(caught.value.failures) == [0, 1]
    assert np.isnan(np.asarray(caught.value.results)).all()


@pytest.mark.parametrize(("status", "remedy"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "/models")])
def test_a_refused_key_or_unknown_model_ends_the_call_at_once(endpoint: Endpoint, status: int, remedy: str) -> None:
    endpoint.reply = in_turn(Reply(status))
    sleeper = Sleeper()
    with pytest.raises(ModelError, match=remedy) as caught:
        connect(endpoint, concurrency=2, sleep=sleeper).score([ask()] * 500, ANSWERS)
    assert not isinstance(caught.value, PromptsFailed)
    assert f"{endpoint.url}/chat/completions: HTTP {status}" in str(caught.value)
    assert not sleeper.waits
    assert len(endpoint.requests) < 500


def test_what_waits_for_another_attempt_is_given_up_once_the_call_has_failed(endpoint: Endpoint) -> None:
    waiting, failed = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        waiting.set()
        failed.wait(20)

    def reply(request: Any) -> Reply:
        if text_of(request) == "busy":
            return Reply(500)
        waiting.wait(20)
        return Reply(404)

    endpoint.reply = reply
    with pytest.raises(ModelError, match="404"):
        connect(endpoint, sleep=sleep).score([ask("busy"), ask("unknown")], ANSWERS)
    failed.set()
    for thread in threading.enumerate():
        if thread.name.startswith("openai-vlm"):
            thread.join(20)
    assert sorted(map(text_of, endpoint.requests)) == ["busy", "unknown"]


# Secrets


def test_the_key_is_in_no_message_repr_or_log(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = as_json({"error": {"message": f"wrong key {KEY}\x1b[2J\n" + "x" * 9999}}, status=401)
    endpoint.reply = in_turn(echo)
    vlm = connect(endpoint, api_key=KEY)
    with pytest.raises(ModelError, match=r"wrong key \*\*\* \[2J x+") as caught:
        vlm.score([ask()], ANSWERS)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    assert caplog.records
    assert KEY not in f"{caught.value!r} {vlm!r} {vlm._endpoint!r} {vlm._endpoint._client.headers!r} {caplog.text}"


def test_a_broken_key_is_refused_unseen(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        connect(endpoint, api_key=f"{KEY}\nX-Evil: 1")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://me:hidden@host/v1", "https://host/v1?key=hidden", "host:8000/hidden", "ftp://host/v1", "", "http://"],
)
def test_a_url_that_cannot_be_used_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAIVLM("m", url)
    assert "hidden" not in str(caught.value) or "host:8000" in url
