"""Tells somebody: a program that is given the report, or an address that it is sent to."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robo_dialog.errors import ConfigError

if TYPE_CHECKING:
    from robo_dialog.nightly.night import Facts

_SECONDS = 30


@dataclass(frozen=True)
class Tell:
    """Who is told of a night."""

    webhook: str | None = None
    """Address (http or https) that gets the report as JSON, by POST."""
    command: tuple[str, ...] = ()
    """Program and its arguments; the report is its standard input."""
    mlflow: str | None = None
    """MLflow's tracking server (`http://...`) that mirrors every night, its figures and aliases; extra [mlflow]."""
    always: bool = False
    """Of every night, not only of those with an alarm."""

    def __post_init__(self) -> None:
        """Refuse addresses of another kind."""
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise ConfigError(f"webhook {self.webhook}: give an address that begins with http:// or https://")

    def tell(self, report: Facts) -> list[str]:
        """Tell everybody; returns what did not work, in words."""
        if not (self.always or report["alarms"]):
            return []
        body, problems = json.dumps(report).encode(), []
        if self.webhook is not None:
            problems += _post(self.webhook, body)
        if self.command:
            problems += _call(self.command, body)
        return problems


def _post(address: str, body: bytes) -> list[str]:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
            return []
    except (urllib.error.URLError, OSError) as error:
        return [f"{address}: was not told ({error})"]


def _call(command: tuple[str, ...], body: bytes) -> list[str]:
    try:
        done = subprocess.run(command, input=body, stdout=subprocess.DEVNULL, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{command[0]}: was not told ({error})"]
    return [f"{command[0]}: ended with {done.returncode}"] if done.returncode else []
