"""Figures and page of the demonstration, from answers made up here."""

from __future__ import annotations

import json
import math
import re

import pytest

from robo_server.demo.asking import Answer
from robo_server.demo.cases import CameraFrame, Case
from robo_server.demo.figures import as_json, print_tables, summarise
from robo_server.demo.page import render, verdict_json

PNG, JPEG = b"\x89PNG\r\n\x1a\n pixels", b"\xff\xd8\xff pixels"
MODEL = {"name": "tiny", "digest": "ab" * 32}


def answer(
    number: int,
    *,
    success: bool,
    probability: float,
    verdict: str = "SUCCESS",
    instruction: str = "lift the red cube",
    latency_ms: float = 10.0,
    frames: tuple[CameraFrame, ...] = (CameraFrame("front", PNG),),
) -> Answer:
    case = Case("source", f"recording/demo_{number}", instruction, success, frames)
    return Answer(case, verdict, probability, 0.6, latency_ms)  # type: ignore[arg-type]


FOUR = [
    answer(0, success=True, probability=0.9),
    answer(1, success=True, probability=0.55, verdict="UNCERTAIN"),
    answer(2, success=False, probability=0.1, verdict="FAILURE", latency_ms=30.0),
    answer(3, success=False, probability=0.2, verdict="FAILURE"),
]


def embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_figures_judge_by_the_threshold_of_the_answer_and_count_abstentions_beside():
    figures = summarise("source", FOUR)
    assert (figures.n, figures.successes) == (4, 2)
    assert (figures.recall_success, figures.recall_failure) == (0.5, 1.0)
    assert figures.balanced_accuracy == 0.75
    assert figures.auroc == 1.0
    assert figures.abstained == 0.25
    assert figures.ece == pytest.approx((0.1 + 0.45 + 0.1 + 0.2) / 4)
    assert figures.latency_ms.p50 == 10.0
    assert figures.latency_ms.p95 == pytest.approx(27.0)
    low, high = figures.interval
    assert 0.5 <= low <= 0.75 <= high <= 1.0


def test_constant_answers_stand_beside_the_detector():
    rows = summarise("source", FOUR).baselines
    assert (rows["always_yes"].recall_success, rows["always_yes"].recall_failure) == (1.0, 0.0)
    assert rows["always_yes"].balanced_accuracy == rows["always_no"].balanced_accuracy == 0.5


def test_one_class_gives_null_in_json_and_a_dash_in_the_table():
    figures = summarise("source", FOUR[:2])
    assert math.isnan(figures.balanced_accuracy)
    plain = as_json(figures)
    assert plain["recall_failure"] is None
    assert plain["interval"] == [None, None]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    shown: list[object] = []
    print_tables([figures], shown.append)
    assert len(shown) == 2
    assert "–" in list(shown[0].columns[2].cells)  # type: ignore[attr-defined]


def test_page_holds_every_answer_with_its_images_and_loads_nothing():
    frames = (CameraFrame("front", PNG), CameraFrame("side", JPEG))
    answers = [*FOUR, answer(4, success=True, probability=0.7, frames=frames)]
    page = render(MODEL, 7, [summarise("source", answers)], answers)
    data = embedded(page)
    assert [episode["episode_id"] for episode in data["episodes"]] == [a.case.episode_id for a in answers]
    assert [frame["image"].split(",")[0] for frame in data["episodes"][4]["frames"]] == [
        "data:image/png;base64",
        "data:image/jpeg;base64",
    ]
    assert data["domains"][0]["balanced_accuracy"] == pytest.approx(0.8333, abs=1e-4)
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, "only names of namespaces"


def test_instruction_cannot_break_out_of_the_page():
    hostile = '</script><script>alert(1)</script><!-- "\u2028'
    answers = [answer(0, success=True, probability=0.9, instruction=hostile)]
    page = render(MODEL, 7, [summarise("source", answers)], answers)
    assert "alert(1)</script>" not in page
    assert embedded(page)["episodes"][0]["instruction"] == hostile


def test_verdicts_in_json_have_no_images():
    assert set(verdict_json(FOUR[0])) == {
        "domain",
        "episode_id",
        "instruction",
        "success",
        "verdict",
        "probability",
        "threshold",
        "latency_ms",
    }
