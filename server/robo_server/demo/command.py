"""`robo-dialog demo`: simulate, ingest, serve, ask, and show how good the answers were."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from robo_dialog.detect.client import RemoteModel
    from robo_server.demo.asking import Answer
    from robo_server.demo.cases import Case
    from robo_server.demo.figures import DomainFigures


@dataclass(frozen=True)
class Demo:
    """Ask the real server about episodes that the model was never trained on, before and after a round of games.

    Simulates episodes with MuJoCo, ingests them like any recording, starts `robo-dialog serve` with the embedded model
    and asks about each episode over gRPC. Then plays games on other episodes of `target`, without their labels, tunes
    the model on what was kept, and asks the improved detector the same. Writes `index.html` and `demo.json` to `--out`.
    """

    episodes: int = 60
    """How many episodes of each domain."""
    seed: int = 1
    """Seed of the episodes; the same seed gives the same episodes."""
    domains: tuple[Literal["source", "target", "far"], ...] = ("source", "target")
    """How the world looks: as in training (`source`), in another lab (`target`), further away (`far`)."""
    unlabelled: int = 1000
    """Episodes of `target` that a round of games is played on; 0 leaves the round out."""
    out: Path = Path("runs/demo")
    """Folder for recordings, frame pools, the page and the figures."""
    json: bool = False
    """Print one JSON object on stdout instead of tables."""

    def run(self) -> int:
        """Run the demonstration; returns 0."""
        from rich.console import Console

        from robo_dialog.errors import ConfigError
        from robo_dialog.models import embedded_bundle
        from robo_server.demo.figures import print_tables, summarise

        if self.episodes < 1 or self.unlabelled < 0:
            raise ConfigError(f"--episodes {self.episodes}, --unlabelled {self.unlabelled}: ask for at least 1, and 0")
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise ConfigError(f"--domains {' '.join(self.domains)}: name one or more, each once")
        embedded_bundle()  # before minutes of simulation, not after
        self.out.mkdir(parents=True, exist_ok=True)
        cases = self._cases()
        model, answers = self._ask(cases)
        answers += self._again([case for case in cases if case.domain == "target"])
        names = dict.fromkeys(answer.case.domain for answer in answers)
        domains = [summarise(name, [answer for answer in answers if answer.case.domain == name]) for name in names]
        result = self._write(model, domains, answers)
        if self.json:
            print(jsonlib.dumps(result))
        else:
            print_tables(domains, Console().print)
            print(f"page: {self.out / 'index.html'}\nfigures: {self.out / 'demo.json'}")
        return 0

    def _cases(self) -> list[Case]:
        from robo_server.demo.cases import prepare

        return [case for domain in self.domains for case in prepare(domain, self.episodes, self.seed, self.out)]

    def _again(self, cases: list[Case]) -> list[Answer]:
        """What the improved detector says of the same episodes."""
        from robo_server.demo.improving import IMPROVED, improved

        if not cases or not self.unlabelled:
            return []
        bundle = improved("target", self.unlabelled, self.seed, self.out)
        return self._ask([replace(case, domain=IMPROVED) for case in cases], bundle)[1]

    def _ask(self, cases: list[Case], bundle: Path | None = None) -> tuple[RemoteModel, list[Answer]]:
        from rich.console import Console
        from rich.progress import track

        from robo_dialog.detect.client import DetectorClient
        from robo_server.demo.asking import ask, running_server

        with (
            running_server(self.out / "server.log", bundle) as address,
            DetectorClient(address, timeout_s=10) as client,
        ):
            answers = ask(client, cases)
            console = Console(stderr=True)
            return client.model(), list(track(answers, "asking", total=len(cases), console=console, transient=True))

    def _write(self, model: RemoteModel, domains: list[DomainFigures], answers: list[Answer]) -> dict[str, Any]:
        from robo_episodes.pool import write_atomically, write_json
        from robo_server.demo.figures import as_json
        from robo_server.demo.page import render, verdict_json

        identity = {"name": model.name, "digest": model.digest}
        result: dict[str, Any] = {
            "model": identity,
            "seed": self.seed,
            "domains": [as_json(figures) for figures in domains],
            "page": str(self.out / "index.html"),
        }
        page = render(identity, self.seed, domains, answers)
        write_atomically(self.out / "index.html", page.encode())
        write_json(self.out / "demo.json", {**result, "verdicts": [verdict_json(answer) for answer in answers]})
        return result
