"""How the demonstration gets its cases and talks to its server, with small stand-ins for both."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import bundles
from robo_dialog.errors import BundleError, ConfigError, RoboDialogError
from robo_server.demo import asking, improving
from robo_server.demo.cases import CameraFrame, Case, from_pool
from robo_server.demo.command import Demo
from robo_server.demo.improving import IMPROVED


@dataclass(frozen=True)
class Row:
    """One row of a pool."""

    episode_id: str
    camera: str
    steps_from_end: int = 0
    instruction: str | None = "lift the red cube"
    success: bool | None = True
    png: bytes = b"image"


def test_cases_are_the_last_frames_of_each_episode_by_camera():
    rows = [
        Row("b", "side"),
        Row("b", "front", png=b"b front"),
        Row("b", "front", 3),
        Row("a", "front", success=False),
    ]
    first, second = from_pool("target", rows)
    assert (first.domain, first.episode_id, first.success) == ("target", "b", True)
    assert first.frames == (CameraFrame("front", b"b front"), CameraFrame("side", b"image"))
    assert (second.episode_id, second.success) == ("a", False)


def test_episodes_without_label_or_instruction_are_no_cases():
    assert from_pool("source", [Row("a", "front", success=None), Row("b", "front", instruction=None)]) == []


class Client:
    """Answers always the same and remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[object], str]] = []

    def is_success(self, frames: list[object], instruction: str) -> SimpleNamespace:
        self.sent.append((frames, instruction))
        return SimpleNamespace(outcome=SimpleNamespace(value="UNCERTAIN"), probability=0.5, threshold=0.45)


def test_all_cameras_go_in_one_request_and_the_label_in_none():
    case = Case("source", "a", "lift the red cube", True, (CameraFrame("front", b"1"), CameraFrame("side", b"2")))
    client = Client()
    (answer,) = asking.ask(client, [case])  # type: ignore[arg-type]
    ((frames, instruction),) = client.sent
    assert [(frame.camera, frame.data) for frame in frames] == [("front", b"1"), ("side", b"2")]  # type: ignore[attr-defined]
    assert instruction == "lift the red cube"
    assert (answer.case, answer.verdict, answer.probability, answer.threshold) == (case, "UNCERTAIN", 0.5, 0.45)
    assert answer.latency_ms > 0


READY = 'import os, signal; print(\'{"address": "127.0.0.1:7", "pid": %d}\' % os.getpid(), flush=True); signal.pause()'


def test_server_is_stopped_at_the_end_even_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "_SERVE", READY + "  #")
    started = []
    popen = asking.subprocess.Popen
    monkeypatch.setattr(asking.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with suppress(KeyError), asking.running_server(tmp_path / "server.log") as address:
        assert address == "127.0.0.1:7"
        assert started[0].returncode is None
        raise KeyError
    assert started[0].returncode is not None


def test_server_that_cannot_start_is_told_with_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "_SERVE", "import sys; sys.exit('robo-dialog: the bundle is altered')")
    with pytest.raises(RoboDialogError, match="the bundle is altered"), asking.running_server(tmp_path / "server.log"):
        pass


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"domains": ()}, {"domains": ("source", "source")}])
def test_wrong_option_is_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))}"):
        Demo(**wrong, out=tmp_path / "demo").run()
    assert not list(tmp_path.iterdir())


def test_demo_asks_the_real_server_and_writes_page_and_figures(tmp_path, monkeypatch, capsys):
    bundle = bundles.write(tmp_path / "bundle")
    replaced = f"import pathlib, robo_dialog.models as m; m.embedded_bundle = lambda: pathlib.Path({str(bundle)!r}); "
    monkeypatch.setattr("robo_dialog.models.embedded_bundle", lambda: bundle)
    monkeypatch.setattr(asking, "_SERVE", replaced + asking._SERVE)
    monkeypatch.setattr(
        "robo_server.demo.cases.prepare", lambda domain, episodes, seed, folder: bright_and_dark(domain)
    )
    assert Demo(out=tmp_path / "demo", unlabelled=0, json=True).run() == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"]["name"] == "by-hand"
    assert [figures["balanced_accuracy"] for figures in printed["domains"]] == [1.0, 1.0]
    written = json.loads((tmp_path / "demo" / "demo.json").read_text(encoding="utf-8"))
    assert [verdict["verdict"] for verdict in written.pop("verdicts")] == ["SUCCESS", "FAILURE"] * 2
    assert written == printed
    assert "source/bright" in (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")


def bright_and_dark(domain: str) -> list[Case]:
    """Two cases that the hand-made bundle, which measures brightness, tells apart."""
    return [
        Case(domain, f"{domain}/{name}", "lift it", success, (CameraFrame("front", bundles.png(bundles.grey(level))),))
        for name, success, level in (("bright", True, 255), ("dark", False, 0))
    ]


def test_missing_bundle_is_told_before_any_episode_is_simulated(tmp_path, monkeypatch):
    def absent() -> Path:
        raise BundleError("no embedded bundle here")

    monkeypatch.setattr("robo_dialog.models.embedded_bundle", absent)
    with pytest.raises(BundleError, match="no embedded bundle"):
        Demo(out=tmp_path / "demo").run()
    assert not list(tmp_path.iterdir())


def test_the_improved_detector_is_asked_about_the_same_episodes(tmp_path, monkeypatch, capsys):
    before, after = bundles.write(tmp_path / "before"), bundles.write(tmp_path / "after")
    asked = []

    def served(
        self: Demo, cases: list[Case], bundle: Path | None = None
    ) -> tuple[SimpleNamespace, list[asking.Answer]]:
        asked.append(bundle)
        right = bundle == after
        made = [asking.Answer(case, "SUCCESS", 0.9 if case.success == right else 0.1, 0.5, 1.0) for case in cases]
        return SimpleNamespace(name="by-hand", digest="0" * 64), made

    monkeypatch.setattr(Demo, "_ask", served)
    monkeypatch.setattr("robo_dialog.models.embedded_bundle", lambda: before)
    monkeypatch.setattr("robo_server.demo.improving.improved", lambda *_: after)
    monkeypatch.setattr(
        "robo_server.demo.cases.prepare", lambda domain, episodes, seed, folder: bright_and_dark(domain)
    )
    assert Demo(out=tmp_path / "demo", json=True).run() == 0
    found = json.loads(capsys.readouterr().out)["domains"]
    assert asked == [None, after]
    assert [(one["domain"], one["balanced_accuracy"]) for one in found] == [
        ("source", 0.0),
        ("target", 0.0),
        (IMPROVED, 1.0),
    ]


def test_a_round_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("robo_episodes.sim.command.Simulate.run", lambda _: 0)
    monkeypatch.setattr("robo_episodes.commands.Ingest.run", lambda _: 0)
    monkeypatch.setattr(improving, "_IMPROVE", "import sys; sys.exit(5)")
    with pytest.raises(RoboDialogError, match="exit code 5"):
        improving.improved("target", 10, 1, tmp_path)
    monkeypatch.setattr(improving, "_IMPROVE", "import json; print(json.dumps({'bundle': 'rounds/round-1/bundle'}))")
    assert improving.improved("target", 10, 1, tmp_path) == Path("rounds/round-1/bundle")
