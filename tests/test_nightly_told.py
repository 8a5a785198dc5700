"""Who is told of a night: a program, a webhook; and what it costs when nobody listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nightly_fake import CALM, Commands, first_night
from robo_dialog.errors import ConfigError
from robo_dialog.nightly.command import Nightly
from robo_dialog.nightly.night import nights
from robo_dialog.nightly.telling import Tell

REPORT = {"night": 3, "alarms": [{"code": "drift", "text": "somebody bumped a camera"}]}
CALM_REPORT = {"night": 4, "alarms": []}


@contextmanager
def listening(status: int) -> Iterator[tuple[str, list[tuple[str, dict]]]]:
    """A server that answers every POST with a status and remembers what it was told."""
    heard: list[tuple[str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/alarms", heard
        server.shutdown()


@pytest.fixture
def commands(monkeypatch) -> Commands:
    return Commands.instead_of_children(monkeypatch)


@pytest.fixture
def nightly(tmp_path) -> Nightly:
    return first_night(tmp_path)


def test_an_alarm_reaches_a_program_and_a_calm_night_does_not(nightly, commands, tmp_path):
    heard = tmp_path / "heard.json"
    told = replace(nightly, tell=Tell(command=("cp", "/dev/stdin", str(heard))), bounds=replace(CALM, refusals=2))
    commands.good = False
    commands.record("monday")
    told.run()
    assert not heard.exists()
    commands.record("tuesday")
    told.run()
    assert json.loads(heard.read_text())["alarms"][0]["code"] == "refusals"


def test_a_webhook_gets_the_report_of_a_night_with_an_alarm_and_of_no_other():
    with listening(200) as (address, heard):
        assert Tell(webhook=address).tell(REPORT) == []
        assert Tell(webhook=address).tell(CALM_REPORT) == []
        assert heard == [("application/json", REPORT)]
        assert Tell(webhook=address, always=True).tell(CALM_REPORT) == []
    assert heard[1:] == [("application/json", CALM_REPORT)]


def test_a_webhook_that_refuses_or_is_gone_costs_a_line():
    with listening(503) as (address, _):
        (refused,) = Tell(webhook=address).tell(REPORT)
    (gone,) = Tell(webhook=address).tell(REPORT)
    assert refused.startswith(f"{address}: was not told (HTTP Error 503")
    assert gone.startswith(f"{address}: was not told (")


@pytest.mark.parametrize(
    ("command", "said"), [(("false",), "false: ended with 1"), (("no-such-program",), "no-such-program: was not told")]
)
def test_a_program_that_fails_costs_a_line_and_no_night(nightly, commands, command, said):
    commands.record("monday")
    assert replace(nightly, tell=Tell(command=command, always=True)).run() == 0
    (told,) = nights(nightly.work)[0].report["told"]
    assert told.startswith(said)


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="http:// or https://"):
        Tell(webhook="ftp://example.org")
