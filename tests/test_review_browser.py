"""A review in a real browser without a screen, by keyboard alone, at the width of a laptop and of a phone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the package `playwright`, and a browser")

from playwright.sync_api import Page, sync_playwright

import bundles
from relabel_files import lines, relabelled, write_attempts
from robo_dialog.detect.calibration import parse_calibration
from robo_dialog.tune.calibrate_command import Calibrate
from robo_dialog.tune.evaluate_command import Evaluate
from robo_dialog.tune.labels import read_labels
from robo_dialog.tune.subjects import JudgeChoice, opened_pool

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome: apt-get install chromium")

WIDTHS = {"laptop": (1280, 800), "phone": (400, 860)}
SERVE = """
import sys
from pathlib import Path
from robo_dialog.review.command import Review
Review(Path(sys.argv[1]), browser=False, reviewer="anna").run()
"""
TRUE_FROM = 16
"""Episodes from this one on succeeded, although the detector says so from the 20th on."""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def labels(tmp_path, capsys):
    """Verdicts on forty episodes, whose margins rise."""
    write_attempts(tmp_path / "r" / "day.hdf5", [number / 4 - 5 for number in range(40)])
    bundle = bundles.write(tmp_path / "bundle")
    relabelled(capsys, tmp_path / "r", out=tmp_path / "labels", bundle=bundle)
    return tmp_path / "labels"


@pytest.fixture
def server(labels):
    process = subprocess.Popen([sys.executable, "-c", SERVE, labels], stdout=subprocess.PIPE, text=True)
    process.url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=WIDTHS)
def page(request, browser, server):
    width, height = WIDTHS[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.goto(server.url)
    yield opened
    assert opened.errors == []
    opened.close()


def number(page: Page) -> int:
    """Of the episode on the page."""
    return int(page.inner_text(".where").split("demo_")[1].split(" ")[0])


def progress(page: Page) -> str:
    return page.inner_text("#progress")


def saved(labels: Path, count: int, page: Page) -> list[dict]:
    """Decisions in the file, once the page has sent them all."""
    page.evaluate("() => saving")
    found = lines(labels / "reviews.jsonl")
    assert len(found) == count
    return found


def test_twenty_decisions_by_keyboard_survive_a_kill_and_become_labels(page, server, labels, tmp_path, capsys):
    decided = {}
    for count in range(20):
        decided[number(page)] = number(page) >= TRUE_FROM
        page.keyboard.press("y" if number(page) >= TRUE_FROM else "n")
        assert progress(page) == f"{count + 1} of 40 decided"
    found = saved(labels, 20, page)
    server.send_signal(signal.SIGKILL)
    server.wait()
    told = {
        int(one["source"].split("demo_")[1]): one["outcome"] == "SUCCESS" for one in lines(labels / "reviews.jsonl")
    }
    assert told == decided
    assert len(found) == len(decided) == 20
    assert set(decided.values()) == {True, False}
    with opened_pool([tmp_path / "r"]) as pool:
        assert len(read_labels(pool, labels / "reviews.jsonl")) == 20
    judge = JudgeChoice(bundle=tmp_path / "bundle")
    assert Calibrate((tmp_path / "r",), tmp_path / "calibrated", judge, reviews=labels / "reviews.jsonl").run() == 0
    fitted = parse_calibration((tmp_path / "calibrated" / "calibration.json").read_bytes())
    assert fitted != judge.open().calibration
    boundary = [fitted.probability(number / 4 - 5, 1) >= fitted.threshold_for("lift it") for number in decided]
    assert boundary == list(decided.values()), "successes begin where the person says"
    capsys.readouterr()
    assert Evaluate((tmp_path / "r",), judge, reviews=labels / "reviews.jsonl", json=True, draws=10).run() == 0
    assert json.loads(capsys.readouterr().out)["n"] == 20


def test_decisions_are_taken_back_and_the_episode_is_shown_again(page, labels):
    first = number(page)
    page.keyboard.press("u")
    assert number(page) != first
    page.keyboard.press("z")
    assert number(page) == first
    assert progress(page) == "0 of 40 decided"
    page.keyboard.press("y")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#yes", "aria-pressed") == "true"
    page.keyboard.press("n")
    assert [one["outcome"] for one in saved(labels, 4, page)] == ["UNCERTAIN", "UNCERTAIN", "SUCCESS", "FAILURE"]


def test_episodes_are_filtered_and_searched_by_keyboard(page, labels):
    page.keyboard.press("y")
    page.keyboard.press("l")
    page.keyboard.type("decided: yes")
    page.keyboard.press("Escape")
    assert page.inner_text("#count") == "1 of 1"
    page.keyboard.press("l")
    page.keyboard.type("all")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.keyboard.type("demo_17")
    page.keyboard.press("Enter")
    assert (page.inner_text("#count"), number(page)) == ("1 of 1", 17)
    page.keyboard.press("f")
    page.keyboard.type("nothing like this")
    assert "No episode here fits" in page.inner_text("main")
    assert len(saved(labels, 1, page)) == 1, "typing decides nothing"


def test_all_cameras_are_shown_and_nothing_reaches_beyond_the_edge(page):
    images = page.eval_on_selector_all("img", "all => all.map(one => [one.naturalWidth, one.alt])")
    assert images == [[bundles.SIZE, f"camera agentview, {when} frame"] for when in ("first", "final")]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    height = page.evaluate("innerHeight")
    for name in ("yes", "no", "unsure", "undo"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= height


def test_a_decision_that_could_not_be_saved_is_told_and_shown_again(page, server):
    first = number(page)
    server.kill()
    server.wait()
    page.keyboard.press("y")
    page.wait_for_selector("#alert:not([hidden])")
    assert "Not saved" in page.inner_text("#alert")
    assert (number(page), progress(page)) == (first, "0 of 40 decided")
