"""Every family of vision-language models goes the whole way, or refuses with a message that says what works instead.

The table of docs/models.md is what these tests find.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("peft")
pytest.importorskip("num2words")

import torch

import vlm_families
from conftest import REPOSITORY
from robo_dialog.tune import conformance, export
from robo_dialog.tune.collate import Collator, Item
from robo_dialog.tune.conformance import Step
from robo_dialog.tune.examples import Talk
from robo_dialog.tune.role_loss import said
from robo_dialog.vlm.chat import Chat
from robo_dialog.vlm.processors import load_processor
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import Message
from robo_dialog.vlm.transformers_vlm import TransformersVLM

PAGE = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
EXPORTED = ("SmolVLM, SmolVLM2", "Idefics3")
MENDED = "LLaVA-OneVision, with a template that appends"
CASES = (*vlm_families.FAMILIES, MENDED)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A random checkpoint of every family."""
    folder = tmp_path_factory.mktemp("families")
    made = {name: vlm_families.write(name, folder / f"m{k}") for k, name in enumerate(vlm_families.FAMILIES)}
    made[MENDED] = vlm_families.write("LLaVA-OneVision", folder / "mended")
    template = made[MENDED] / "chat_template.jinja"
    text = template.read_text(encoding="utf-8").replace("message['role'] + ' '", "message['role']")
    template.write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def found(checkpoints, tmp_path_factory) -> dict[str, dict[str, Step]]:
    """What every family can do. Models with the same weights share the graph, which takes longest."""
    graphs: dict[str, bytes] = {}
    traced = export._export_graph

    def once(checkpoint):
        weights = (weight.numpy().tobytes() for weight in checkpoint.model.state_dict().values())
        key = hashlib.sha256(b"".join(weights)).hexdigest()
        return graphs.setdefault(key, graphs.get(key) or traced(checkpoint))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export, "_export_graph", once)
        return {
            name: {step.name: step for step in conformance.check(path, tmp_path_factory.mktemp("work"), device="cpu")}
            for name, path in checkpoints.items()
        }


def cells(steps: dict[str, Step]) -> list[str]:
    """Columns of the table: plays, is tuned, is exported and served as a bundle."""
    groups = (("load", "score", "generate", "play"), ("tune", "merge"), ("export", "serve"))
    return ["yes" if all(steps[name].outcome == "passed" for name in group) else "no" for group in groups]


@pytest.mark.parametrize("name", CASES)
def test_every_family_plays_and_nothing_fails_without_a_word(found, name):
    outcomes = {step.name: step.outcome for step in found[name].values()}
    assert {outcomes[step] for step in ("load", "score", "generate", "play")} == {"passed"}, found[name]
    assert "failed" not in outcomes.values(), found[name]


@pytest.mark.parametrize("name", [name for name in CASES if name != "LLaVA-OneVision"])
def test_every_family_is_tuned_and_merged(found, name):
    assert found[name]["tune"].outcome == found[name]["merge"].outcome == "passed", found[name]


def test_a_template_that_asks_otherwise_than_it_writes_is_refused_with_the_remedy(found):
    refused = found["LLaVA-OneVision"]["tune"]
    assert (refused.outcome, "chat_template.jinja that only appends" in refused.note) == ("refused", True)


@pytest.mark.parametrize("name", EXPORTED)
def test_exportable_families_give_verdicts(found, name):
    assert found[name]["export"].outcome == found[name]["serve"].outcome == "passed", found[name]


@pytest.mark.parametrize("name", [name for name in CASES if name not in EXPORTED and name != "LLaVA-OneVision"])
def test_other_families_are_told_to_be_served_behind_an_endpoint(found, name):
    assert found[name]["export"].outcome == "refused"
    assert "OpenAI-compatible endpoint" in found[name]["export"].note
    assert "--endpoint" in found[name]["export"].note


def test_the_table_of_the_documentation_is_what_was_found(found):
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    told = {row[0]: row[1:] for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in rows)}
    assert {name: told.get(name) for name in CASES} == {name: cells(steps) for name, steps in found.items()}


@pytest.mark.parametrize("name", [name for name in CASES if name != "LLaVA-OneVision"])
def test_what_is_learned_is_what_is_asked(checkpoints, name):
    """The log-probability of an answer is the same in a row of tuning as in a question, image for image."""
    image = np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    question = "Is the red cube on the plate?"
    vlm = TransformersVLM(checkpoints[name], device="cpu")
    asked = vlm.score([(Message("user", question, (image,)),)], ANSWERS)[0]
    chat = Chat(load_processor(checkpoints[name]))
    first = [chat.tokens(chat.begin(answer))[0] for answer in ANSWERS]
    for answer in ("no", "yes"):
        batch = Collator(chat, packed=False)([Item((image,), (Talk((("user", question), ("assistant", answer))),))])
        labels, weights = batch.pop("labels"), batch.pop("weights")
        with torch.no_grad():
            logits, learned, _ = said(vlm._model, batch, labels, weights)
        assert learned[0] == first[answer == "yes"]
        np.testing.assert_allclose(logits[0, first].double().log_softmax(-1), asked, atol=1e-4)


def test_a_processor_without_its_video_side_is_saved_with_it(checkpoints, tmp_path):
    path = checkpoints["Qwen3-VL"]
    settings = '{"video_processor_type": "Qwen3VLVideoProcessor", "fps": 2}'
    (path / "video_preprocessor_config.json").write_text(settings, encoding="utf-8")
    load_processor(path).save_pretrained(tmp_path)
    assert '"fps": 2' in (tmp_path / "processor_config.json").read_text(encoding="utf-8")
    assert type(load_processor(tmp_path)).__name__ == "Qwen3VLProcessor"
