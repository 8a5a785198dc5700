"""A web server for one person on this machine: one page, and one address that takes decisions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

from robo_dialog.errors import ConfigError
from robo_dialog.relabel.rows import LabelRow
from robo_dialog.review.decisions import Decision, Decisions

MAX_BYTES = 4096
"""Of what a page may send."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class ReviewServer(ThreadingHTTPServer):
    """Serves one page on 127.0.0.1; decisions must bear the secret that the page was given.

    Args:
        port: 0 takes any free one.
        render: the page, given the secret.
        rows: the episodes, in the order of the page.
        decisions: where decisions go.
    """

    daemon_threads = True

    def __init__(self, port: int, render: Callable[[str], str], rows: Sequence[LabelRow], decisions: Decisions) -> None:
        self.secret = secrets.token_urlsafe(16)
        self.render, self.rows, self.decisions = render, rows, decisions
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--port {port}: cannot be listened to ({error}); give another one, or 0") from error

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Give the page."""
        if not self._is_asked_here() or self.path != "/":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is nothing here")
            return
        self._answer(HTTPStatus.OK, "text/html", self.server.render(self.server.secret))

    def do_POST(self) -> None:
        """Take a decision: {"secret", "place", "decision"}."""
        told = self._told()
        if not self._is_asked_here() or self.path != "/decisions" or told is None:
            self._answer(HTTPStatus.BAD_REQUEST, "application/json", '{"error": "no decision of this page"}')
            return
        try:
            self.server.decisions.add(self.server.rows[told[0]], told[1])
        except OSError as error:
            content = json.dumps({"error": f"the decision cannot be saved ({error.strerror})"})
            self._answer(HTTPStatus.INSUFFICIENT_STORAGE, "application/json", content)
            return
        self._answer(HTTPStatus.OK, "application/json", "{}")

    def _is_asked_here(self) -> bool:
        """Whether the browser means this server, and not another name that leads to it."""
        port = self.server.server_port
        return self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}")

    def _told(self) -> tuple[int, Decision] | None:
        """Place and decision, if they come from the page and make sense."""
        try:
            length = int(self.headers.get("Content-Length", ""))
            told: Any = json.loads(self.rfile.read(length)) if 0 < length <= MAX_BYTES else None
            secret, place, decision = told["secret"], told["place"], told["decision"]
        except (ValueError, KeyError, TypeError):
            return None
        known = isinstance(secret, str) and secrets.compare_digest(secret.encode(), self.server.secret.encode())
        fits = type(place) is int and 0 <= place < len(self.server.rows) and decision in get_args(Decision)
        return (place, decision) if known and fits else None

    def _answer(self, status: HTTPStatus, kind: str, content: str) -> None:
        data = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing: the person looks at the page."""
