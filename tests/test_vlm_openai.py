"""An OpenAI-compatible endpoint behind the VLM protocol, over real sockets on this machine; nothing sleeps."""

from __future__ import annotations

import base64
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from openai_endpoint import HANG, Endpoint, Reply, as_json, in_turn, listed, listed_tokens, said, serving
from robo_dialog.detect.image import decode_rgb
from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.vlm.completions import FLOOR_GAP
from robo_dialog.vlm.endpoint import LONGEST_ANSWER, LONGEST_RETRY_AFTER_S, Retries
from robo_dialog.vlm.openai_vlm import OpenAIVLM
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import VLM, Message, Prompt, PromptsFailed

KEY = "sk-0123456789abcdef"
PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
YES = listed(_yes=-0.1, _no=-2.5)
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


@pytest.fixture(autouse=True)
def _no_proxy_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Says yes until a test replaces `reply`."""
    with serving(in_turn(YES)) as running:
        yield running


class Sleeper:
    """Remembers how long it should have slept."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def connect(endpoint: Endpoint, **options: Any) -> OpenAIVLM:
    settings = {"concurrency": 4, "timeout_s": 20.0, "sleep": Sleeper(), **options}
    return OpenAIVLM("robot-vlm", endpoint.url, **settings)


def ask(text: str = "Is it done?") -> Prompt:
    return (Message("user", text, (PICTURE,)),)


def text_of(request: Any) -> str:
    return str(request["messages"][-1]["content"][-1]["text"])


def p_yes(endpoint: Endpoint, reply: Reply) -> float:
    endpoint.reply = in_turn(reply)
    return float(np.exp(connect(endpoint).score([ask()], ANSWERS)[0, 1]))


# What is sent


def test_images_arrive_losslessly_and_before_the_text(endpoint: Endpoint) -> None:
    connect(endpoint).score([(*ask("Which?"), Message("assistant", "This one."), *ask("Sure?"))], ANSWERS)
    first, second, third = endpoint.requests[0]["messages"]
    assert second == {"role": "assistant", "content": "This one."}
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    header, data = third["content"][0]["image_url"]["url"].split(",")
    assert header == "data:image/png;base64"
    np.testing.assert_array_equal(decode_rgb(base64.b64decode(data)), PICTURE)


def test_a_score_asks_for_one_token_and_its_alternatives(endpoint: Endpoint) -> None:
    connect(endpoint, top_logprobs=7).score([ask()], ANSWERS)
    request = endpoint.requests[0]
    assert endpoint.paths == ["/v1/chat/completions"]
    assert {key: request[key] for key in request if key != "messages"} == {
        "model": "robot-vlm",
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 7,
    }


def test_the_key_is_sent_and_comes_from_the_environment_if_not_given(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(endpoint).score([ask()], ANSWERS)
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment\n")
    connect(endpoint).score([ask()], ANSWERS)
    connect(endpoint, api_key=KEY).score([ask()], ANSWERS)
    sent = [headers.get("Authorization") for headers in endpoint.headers]
    assert sent == [None, "Bearer from-environment", f"Bearer {KEY}"]


# What an answer means


def test_scores_are_in_the_order_of_the_prompts(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: listed(_yes=-float(text_of(request)), _no=-1.0)
    scores = connect(endpoint).score([ask(str(number)) for number in range(1, 13)], ANSWERS)
    expected = -np.arange(1.0, 13.0) + 1.0
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], expected)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0)


def test_all_spellings_of_an_option_are_summed(endpoint: Endpoint) -> None:
    logs = np.log([0.2, 0.1, 0.1, 0.2, 0.3])
    reply = listed_tokens(list(zip([" yes", "Yes", "yes", " No", " maybe"], logs, strict=True)))
    assert p_yes(endpoint, reply) == pytest.approx(0.4 / 0.6)


def test_a_word_in_pieces_counts_by_its_first_piece(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(listed_tokens([(" ban", np.log(0.3)), (" app", np.log(0.1)), (" yes", np.log(0.5))]))
    scores = connect(endpoint).score([ask()], (" apple tree", " banana"))
    np.testing.assert_allclose(np.exp(scores), [[0.25, 0.75]])


def test_a_token_that_begins_two_options_counts_for_neither(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(listed_tokens([(" b", -0.1), (" ball", np.log(0.2)), (" bowl", np.log(0.2))]))
    scores = connect(endpoint).score([ask()], (" ball", " bowl"))
    np.testing.assert_allclose(np.exp(scores), [[0.5, 0.5]])


def test_an_option_that_is_not_listed_is_less_probable_than_any_listed_token(endpoint: Endpoint) -> None:
    endpoint.reply = in_turn(listed_tokens([(" 2", -0.5), (" 3", -4.0), (" The", -7.0), (" 4", -9999.0)]))
    scores = connect(endpoint).score([ask()], (" 1", " 2", " 3", " 4"))[0]
    np.testing.assert_allclose(scores - scores[1], [-7.0 - FLOOR_GAP + 0.5, 0.0, -3.5, -7.0 - FLOOR_GAP + 0.5])


def test_options_that_a_first_token_cannot_tell_apart_are_refused(endpoint: Endpoint) -> None:
    for options in ((" yes", "Yes"), (" 1", " 10"), (" red ball", " red cube"), (" yes", " ")):
        with pytest.raises(ModelError, match="different words"):
            connect(endpoint).score([ask()], options)
    assert not endpoint.requests


def test_an_answer_that_lists_no_option_fails_its_prompt_without_another_attempt(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: YES if text_of(request) == "good" else listed(_think=-0.1, The=-2.0)
    with pytest.raises(PromptsFailed, match=r"useless logprobs.* think") as caught:
        connect(endpoint).score([ask("good"), ask("bad")], ANSWERS)
    assert list(caught.value.failures) == [1]
    assert len(endpoint.requests) == 2


def test_duplicates_of_a_prompt_are_continued_anew_and_the_same_seed_repeats_them(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: said(f" \n{request['seed']}, {request['temperature']}, {request['max_tokens']}? ")
    vlm = connect(endpoint)
    first, again, other = (vlm.generate([ask()] * 6, seed=seed, temperature=0.7, max_tokens=9) for seed in (1, 1, 2))
    assert first == again
    assert len({*first, *other}) == 12
    assert all(text.endswith(", 0.7, 9?") and text == text.strip() for text in first)
    assert all(0 <= request["seed"] < 1 << 31 for request in endpoint.requests)


def test_no_prompts_need_no_endpoint(endpoint: Endpoint) -> None:
    assert connect(endpoint).score([], ANSWERS).shape == (0, 2)
    assert connect(endpoint).generate([], seed=0, temperature=1.0, max_tokens=4) == []
    assert not endpoint.requests


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


def test_an_endpoint_that_is_not_there_fails_every_prompt() -> None:
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


# How it is sent


def test_as_many_requests_as_allowed_are_under_way_at_a_time_and_no_more(endpoint: Endpoint) -> None:
    together = threading.Barrier(3, timeout=20)
    lock, under_way, most = threading.Lock(), 0, 0

    def reply(_: object) -> Reply:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        with lock:
            under_way -= 1
        return YES

    endpoint.reply = reply
    assert connect(endpoint, concurrency=3).score([ask()] * 9, ANSWERS).shape == (9, 2)
    assert most == 3


def test_connections_are_used_again(endpoint: Endpoint) -> None:
    with connect(endpoint, concurrency=2) as vlm:
        for _ in range(5):
            vlm.score([ask()] * 4, ANSWERS)
    assert endpoint.connections <= 2


def test_identity_names_model_and_host_alone(endpoint: Endpoint) -> None:
    vlm: VLM = connect(endpoint, api_key=KEY)
    assert vlm.identity == f"robot-vlm@{endpoint.url.split('/')[2]}"


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"timeout_s": 0.0}, {"top_logprobs": 1}], ids=str)
def test_numbers_with_which_nothing_works_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be positive|at least 2"):
        OpenAIVLM("m", "http://localhost:8000/v1", **options)


def test_retries_without_an_attempt_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 attempt"):
        Retries(attempts=0)


def test_a_prompt_without_images_is_sent_as_plain_text(endpoint: Endpoint) -> None:
    connect(endpoint).score([(Message("user", 'Is the "café" table empty?'),)], ANSWERS)
    assert endpoint.requests[0]["messages"] == [{"role": "user", "content": 'Is the "café" table empty?'}]
