"""An OpenAI-compatible endpoint behind the VLM protocol: requests and answers, over real sockets on this machine."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openai_endpoint import (
    PICTURE,
    YES,
    Endpoint,
    Reply,
    ask,
    connect,
    in_turn,
    listed,
    listed_tokens,
    said,
    serving,
    text_of,
)
from robo_dialog.detect.image import decode_rgb
from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.vlm.completions import FLOOR_GAP
from robo_dialog.vlm.openai_vlm import OpenAIVLM
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import VLM, Message, PromptsFailed

KEY = "sk-0123456789abcdef"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Says yes until a test replaces `reply`."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(in_turn(YES)) as running:
        yield running


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


def test_a_prompt_without_images_is_sent_as_plain_text(endpoint: Endpoint) -> None:
    connect(endpoint).score([(Message("user", 'Is the "café" table empty?'),)], ANSWERS)
    assert endpoint.requests[0]["messages"] == [{"role": "user", "content": 'Is the "café" table empty?'}]
