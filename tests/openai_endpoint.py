"""A real HTTP server on this machine that answers chat completions as a test tells it to, and its client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from robo_dialog.vlm.openai_vlm import OpenAIVLM
from robo_dialog.vlm.protocol import Message, Prompt

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Reply:
    """One answer; `hangs`: none, until the test is over."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False


HANG = Reply(hangs=True)


def listed(**logprobs: float) -> Reply:
    """The first token's alternatives, by name; an underscore at the front stands for a space."""
    return listed_tokens([(token.replace("_", " "), logprob) for token, logprob in logprobs.items()])


def listed_tokens(tokens: list[tuple[str, object]]) -> Reply:
    top = [{"token": token, "logprob": logprob, "bytes": list(token.encode())} for token, logprob in tokens]
    first = {**(top[0] if top else {}), "top_logprobs": top}
    return as_json({"choices": [{"message": {"content": "x"}, "logprobs": {"content": [first]}}]})


def said(text: str) -> Reply:
    return as_json({"choices": [{"message": {"role": "assistant", "content": text}}]})


def as_json(content: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode())


YES = listed(_yes=-0.1, _no=-2.5)


@dataclass
class Endpoint:
    """What the server was asked, and how it answers."""

    reply: Callable[[Any], Reply]
    """Of the parsed body of a request."""
    url: str = ""
    requests: list[Any] = field(default_factory=list)
    """Bodies, in the order of their coming."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


def in_turn(*replies: Reply) -> Callable[[Any], Reply]:
    """One reply after the other, whoever asks; the last one again and again."""
    lock, left = threading.Lock(), list(replies)

    def reply(_: object) -> Reply:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return reply


@contextmanager
def serving(reply: Callable[[Any], Reply]) -> Iterator[Endpoint]:
    endpoint = Endpoint(reply)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint))
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with endpoint.lock:
                endpoint.connections += 1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                endpoint.requests.append(body)
                endpoint.headers.append(dict(self.headers))
                endpoint.paths.append(self.path)
            reply = endpoint.reply(body)
            if reply.hangs:
                endpoint.over.wait(60)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    return Handler


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
