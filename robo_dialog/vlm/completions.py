"""The chat-completions format of OpenAI, as far as a `VLM` needs it: what is sent, and what an answer means.

Pure functions; the network is in `endpoint`. An answer is parsed JSON of unknown shape until it has been read here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ModelError
from robo_dialog.vlm.protocol import Image, Message, Prompt
from robo_episodes.images import encode_png

FLOOR_GAP = 1.0
"""Nats by which an option that the endpoint does not list lies below the least probable token that it lists."""
UNSEEN = -9999.0
"""Servers write this, or less, in place of minus infinity."""
ROUNDING = 1e-2
"""Log-probabilities may exceed 0 by this much, no more."""
_SHOWN = 5


class MalformedAnswerError(Exception):
    """The answer lacks what every answer must have; another attempt may bring it."""


class UselessAnswerError(Exception):
    """The answer is in order and does not say what was asked; another attempt would bring the same."""


def request_body(model: str, prompt: Prompt, settings: Mapping[str, object]) -> bytes:
    """The JSON of one request; images as PNG in data URLs, before the text of their message."""
    content = {"model": model, "messages": [_message(message) for message in prompt], **settings}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_text(answer: object) -> str:
    """What the model said, without white space around it.

    Raises:
        MalformedAnswerError: there is no text.
    """
    match answer:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text.strip()
    raise MalformedAnswerError("malformed answer: no text in choices[0].message.content")


def read_scores(answer: object, words: Sequence[str]) -> npt.NDArray[np.float64]:
    """Log-probability (O,) that the model's turn begins with each of `words`, normalised over them.

    A listed token counts for the word that it begins, whatever its case and the spaces around it; all such tokens of a
    word are summed, and a token that begins several words counts for none. A word without a token is less probable than
    every listed token, so it gets the least of them minus `FLOOR_GAP`.

    Args:
        answer: to a request with `logprobs` and `top_logprobs`.
        words: as `first_words` gives them.

    Raises:
        MalformedAnswerError: there are no log-probabilities, or they are none.
        UselessAnswerError: no listed token begins one of the words.
    """
    listed = _listed(answer)
    scores = np.full(len(words), -np.inf)
    for token, logprob in listed:
        start = token.strip().casefold()
        begun = [place for place, word in enumerate(words) if start and word.startswith(start)]
        if len(begun) == 1:
            scores[begun[0]] = np.logaddexp(scores[begun[0]], logprob)
    if np.isneginf(scores).all():
        shown = ", ".join(repr(token[:20]) for token, _ in listed[:_SHOWN])
        raise UselessAnswerError(
            f"useless logprobs: none of {len(listed)} listed tokens ({shown}, …) begins one of {list(words)}; "
            f"take a model that answers at once (no reasoning first), or raise top_logprobs"
        )
    scores[np.isneginf(scores)] = min(logprob for _, logprob in listed) - FLOOR_GAP
    scores -= np.logaddexp.reduce(scores)
    return scores


def first_words(options: Sequence[str]) -> tuple[str, ...]:
    """The first word of each option in lower case: all that the first token of an answer can be compared with.

    Raises:
        ModelError: an option is empty, or begins like another one, so that a first token cannot tell them apart.
    """
    words = tuple("".join(option.split()[:1]).casefold() for option in options)
    alike = any(a.startswith(b) for i, a in enumerate(words) for j, b in enumerate(words) if i != j)
    if alike or "" in words:
        raise ModelError(
            f"options {list(options)} do not begin with different words, so a first token cannot tell them apart; "
            f"choose options of which none begins with the first word of another"
        )
    return words


def _listed(answer: object) -> list[tuple[str, float]]:
    """The tokens with which the turn may begin; those with no probability at all are left out."""
    match answer:
        case {"choices": [{"logprobs": {"content": [{"top_logprobs": [*entries]}, *_]}}, *_]}:
            tokens = [_token(entry) for entry in entries]
            if listed := [(token, logprob) for token, logprob in tokens if logprob > UNSEEN]:
                return listed
    raise MalformedAnswerError(
        "malformed logprobs: no token in choices[0].logprobs.content[0].top_logprobs; "
        "start the server so that it returns log-probabilities"
    )


def _token(entry: object) -> tuple[str, float]:
    match entry:
        case {"token": str(token), "logprob": float(logprob) | int(logprob)} if logprob <= ROUNDING:  # so it is no NaN
            return token, max(logprob, UNSEEN)
    raise MalformedAnswerError("malformed logprobs: an entry of top_logprobs has no token with a log-probability")


def _message(message: Message) -> dict[str, object]:
    text = {"type": "text", "text": message.text}
    content = [*(_picture(image) for image in message.images), text] if message.images else message.text
    return {"role": message.role, "content": content}


def _picture(image: Image) -> dict[str, object]:
    data = base64.b64encode(encode_png(image)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
