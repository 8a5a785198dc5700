"""One HTTP endpoint that answers JSON with JSON, asked until it answers or does not deserve another attempt.

What happens                                          | then
timeout, broken connection, 408, 429, 5xx, odd answer | next attempt after a growing, jittered wait
401, 403, 404                                         | ModelError: no request can succeed
any other status but 2xx                              | NoAnswerError: this request is refused
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
import numpy as np

from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.vlm.completions import MalformedAnswerError, UselessAnswerError

T = TypeVar("T")

KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read; an honest one has thousands."""
LONGEST_RETRY_AFTER_S = 120.0
_EXCERPT = 200
_REMEDIES = {
    401: f"the key is missing or wrong; set {KEY_VARIABLE}",
    403: f"the key has no right to this model; set another {KEY_VARIABLE} or choose another model",
    404: "no such URL or no such model there; the URL usually ends in /v1, and its page /models lists the models",
}


class NoAnswerError(ModelError):
    """One request got no answer; others may."""


@dataclass(frozen=True)
class Retries:
    """How often and when an endpoint is asked again."""

    attempts: int = 5
    """In all, the first one included."""
    first_s: float = 0.5
    """Longest wait after the first attempt, in seconds; it doubles with every attempt."""
    longest_s: float = 30.0
    seed: int = 0
    """Of the jitter, which takes off up to half of a wait, so that requests that failed together come back apart."""

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing would be asked."""
        if self.attempts < 1 or self.first_s < 0 or self.longest_s < 0 or self.seed < 0:
            raise ConfigError(f"{self}: give at least 1 attempt, and no negative number")

    def wait_s(self, request: int, tried: int, asked_s: float) -> float:
        """Seconds to wait when request number `request` has been tried `tried` times, at least once.

        `asked_s`: what the server asks for; it gets that much, up to `LONGEST_RETRY_AFTER_S`.
        """
        doubled: float = min(self.longest_s, self.first_s * 2 ** min(tried - 1, 30))
        jitter = float(np.random.default_rng((self.seed, request, tried)).uniform(0.5, 1.0))
        return max(min(asked_s, LONGEST_RETRY_AFTER_S), doubled * jitter)


RETRIES = Retries()


class Endpoint:
    """One pooled client; safe in threads.

    Args:
        url: where requests are posted, without a user, a password or a query: these would end up in logs.
        api_key: sent as a bearer token; the environment variable OPENAI_API_KEY if left out; none if that is not set.
            It stands in no message, log or repr.
        connections: most that are open at a time.
        timeout_s: for one attempt: to connect, to be heard, and to get the whole answer.
        sleep: what waits between attempts.

    Raises:
        ConfigError: the URL, the key or a number cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        connections: int,
        timeout_s: float,
        retries: Retries,
        sleep: Callable[[float], object],
    ) -> None:
        if connections < 1 or timeout_s <= 0:
            raise ConfigError(f"concurrency is {connections} and timeout {timeout_s:g} s; both must be positive")
        self._url = _checked(url)
        self._key = _key(api_key)
        self._timeout_s = timeout_s
        self._retries = retries
        self._sleep = sleep
        # Compressed answers could be much larger than their bytes on the wire.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._client = httpx2.Client(
            headers=headers | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    @property
    def host(self) -> str:
        """Host, with the port where the URL has one."""
        return self._url.netloc.decode("ascii")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ask(self, body: bytes, read: Callable[[object], T], *, number: int, stop: threading.Event) -> T:
        """What `read` makes of the answer.

        Args:
            body: JSON.
            read: raises `MalformedAnswerError` for an answer that deserves another attempt.
            number: of the request, for its jitter.
            stop: once set, there are no more attempts.

        Raises:
            NoAnswerError: this request got no answer.
            ModelError: no request can get one.
        """
        tried, reason, asked_s = 0, "not asked", 0.0
        while tried < self._retries.attempts and not stop.is_set():
            try:
                return read(self._post(body))
            except _AgainError as again:
                reason, asked_s = str(again), again.after_s
            except MalformedAnswerError as malformed:
                reason, asked_s = str(malformed), 0.0
            except UselessAnswerError as useless:
                raise NoAnswerError(f"{self._url}: {useless}") from None
            tried += 1
            if tried < self._retries.attempts:
                self._sleep(self._retries.wait_s(number, tried, asked_s))
        raise NoAnswerError(f"{self._url}: {reason} (attempts: {tried})")

    def _post(self, body: bytes) -> object:
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("POST", self._url, content=body) as response:
                data = _received(response, deadline)
        except (httpx2.TimeoutException, TimeoutError):
            raise _AgainError(f"no answer within {self._timeout_s:g} s; allow more time or less concurrency") from None
        except httpx2.RequestError as error:
            what = self._clean(str(error)) or type(error).__name__
            raise _AgainError(f"no connection ({what}); check the URL and that the server runs") from None
        if not response.is_success:
            raise self._refusal(response, data)
        if len(data) > LONGEST_ANSWER:
            raise MalformedAnswerError(f"malformed answer: it has more than {LONGEST_ANSWER} bytes")
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise MalformedAnswerError("malformed answer: it is not JSON; check that the URL is an API's") from None

    def _refusal(self, response: httpx2.Response, data: bytes) -> Exception:
        status, said = response.status_code, self._clean(_message(data))
        what = f"HTTP {status}" + (f' "{said}"' if said else "")
        if status in _REMEDIES:
            return ModelError(f"{self._url}: {what}; {_REMEDIES[status]}")
        if status == 429:
            return _AgainError(f"{what}; lower the concurrency", _retry_after_s(response))
        if status == 408 or status >= 500:
            return _AgainError(f"{what}; see the server's log", _retry_after_s(response))
        return NoAnswerError(f"{self._url}: {what}; the server refuses this request, see its log")

    def _clean(self, text: str) -> str:
        """Fit for one line of a message: what a server says may be long, binary, or the key that it was sent."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_EXCERPT]


class _AgainError(Exception):
    """This attempt failed; another may not."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


def _checked(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ConfigError("the endpoint's URL cannot be read; expected one like http://localhost:8000/v1") from None
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigError(
            f"the URL of {parsed.host} has a user, a password or a query, which would end up in logs; "
            f"give a plain URL, and the key in {KEY_VARIABLE}"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{url}: is no http or https URL; expected one like http://localhost:8000/v1")
    return parsed


def _key(given: str | None) -> str:
    key = (os.environ.get(KEY_VARIABLE, "") if given is None else given).strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"the API key has characters that no key has; check {KEY_VARIABLE}")
    return key


def _received(response: httpx2.Response, deadline: float) -> bytes:
    """The body, or of a longer one just more than `LONGEST_ANSWER` bytes.

    Raises:
        TimeoutError: it comes so slowly that it is not there at the deadline.
    """
    data = bytearray()
    for part in response.iter_raw():
        data += part
        if len(data) > LONGEST_ANSWER:
            break
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(data[: LONGEST_ANSWER + 1])


def _message(data: bytes) -> str:
    """What the body of an error says, in any of the forms that servers use."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")
    match answer:
        case {"error": {"message": str(text)}} | {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
            return text
    return ""


def _retry_after_s(response: httpx2.Response) -> float:
    """Seconds that the server asks to wait, given as a number or as a date; 0 if it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a time zone
        return 0.0
