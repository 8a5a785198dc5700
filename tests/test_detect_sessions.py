"""Graphs that look at an image once, and those of older exports: the same margins, fewer looks."""

from __future__ import annotations

import numpy as np
import pytest

import bundles
from bundles import PREPROCESSING, graph, grey, margin_of, tokenizer
from robo_dialog.detect import Detector, Request
from robo_dialog.detect.scorer import MAX_BATCH, Scorer
from robo_dialog.detect.session import OnnxSession
from robo_dialog.errors import BundleError


class Counting:
    """A session that remembers how many images and prompts it was fed."""

    def __init__(self, data: bytes, *, threads: int, image_size: int) -> None:
        self.session = OnnxSession(data, threads=threads, image_size=image_size)
        self.fed: list[tuple[int, int]] = []

    def run(self, feed):
        self.fed.append((len(feed["pixel_values"]), len(feed["input_ids"])))
        return self.session.run(feed)

    def close(self) -> None:
        self.session.close()


@pytest.fixture(params=[True, False], ids=["indexed", "older"])
def scorer(request) -> Scorer:
    return Scorer(graph(indexed=request.param), tokenizer(), PREPROCESSING, 1, Counting)


def pixels(*levels: int) -> list[np.ndarray]:
    return [PREPROCESSING.pixels(grey(level)) for level in levels]


def test_every_prompt_is_judged_with_its_own_image(scorer):
    prompts = [scorer.tokens(text) for text in ("go", "nudge", "go", "nudge nudge")]
    margins = scorer.margins(pixels(20, 200), prompts, [1, 1, 0, 1])
    expected = [margin_of(200), margin_of(200) + 1, margin_of(20), margin_of(200) + 2]
    assert margins == pytest.approx(expected, abs=1e-5)


def test_without_frames_prompts_and_images_go_together(scorer):
    margins = scorer.margins(pixels(20, 200), [scorer.tokens("go")] * 2)
    assert margins == pytest.approx([margin_of(20), margin_of(200)], abs=1e-5)


def test_every_image_is_fed_once_however_many_prompts_are_about_it(scorer):
    scorer.margins(pixels(20, 200, 90), [scorer.tokens("go")] * 5, [2, 0, 2, 2, 0])
    assert scorer._session.fed == [(2, 5)]


def test_a_frame_that_is_asked_about_several_times_is_looked_at_once(tmp_path):
    detector = Detector.load(bundles.write(tmp_path / "bundle"), threads=1, open_session=Counting)
    detector._scorer._session.fed.clear()
    light, dark = grey(200), grey(20)
    margins = detector.margins([light, dark, light, light], ["go", "nudge", "nudge", "go"])
    expected = [margin_of(200), margin_of(20) + 1, margin_of(200) + 1, margin_of(200)]
    assert margins == pytest.approx(expected, abs=1e-4)
    assert detector._scorer._session.fed == [(2, 4)]


def test_many_prompts_are_fed_in_parts_that_fit(scorer):
    count = 2 * MAX_BATCH + 3
    frames = [k % 3 for k in range(count)]
    margins = scorer.margins(pixels(20, 200, 90), [scorer.tokens("go")] * count, frames)
    assert margins == pytest.approx([margin_of((20, 200, 90)[frame]) for frame in frames], abs=1e-5)
    assert scorer._session.fed == [(3, MAX_BATCH), (3, MAX_BATCH), (3, 3)]


def test_a_bundle_of_either_kind_gives_the_same_verdicts(tmp_path):
    requests = [
        Request([grey(100), grey(180)], "lift it", ("nudge it", "raise it")),
        Request([grey(90)], "put it down"),
    ]
    paths = [bundles.write(tmp_path / str(kind), scorer_onnx=graph(indexed=kind)) for kind in (True, False)]
    one, other = (Detector.load(path, threads=1).verdicts(requests) for path in paths)
    assert [verdict.probability for verdict in one] == [verdict.probability for verdict in other]


def test_a_graph_with_other_inputs_is_refused(tmp_path):
    import onnx

    model = onnx.load_from_string(graph(indexed=True))
    model.graph.input[3].name = model.graph.node[1].input[1] = "which_image"
    with pytest.raises(BundleError, match=r"scorer\.onnx: has inputs"):
        OnnxSession(model.SerializeToString(), threads=1, image_size=bundles.SIZE)
