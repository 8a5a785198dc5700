"""`robo-dialog tune`: learns what the rows say, resumes, and writes whole checkpoints only."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("peft")

import torch
from transformers import TrainerCallback

from robo_dialog.errors import ConfigError
from robo_dialog.models import embedded_model
from robo_dialog.play.row_files import write_parquet
from robo_dialog.play.rows import Row
from robo_dialog.tune import training
from robo_dialog.tune.examples import read_examples
from robo_dialog.tune.settings import TuneSettings
from robo_dialog.tune.tune_command import Tune
from robo_dialog.vlm.protocol import Message
from robo_dialog.vlm.transformers_vlm import TransformersVLM

QUESTION = "Is the drawer open?"
QUICK = TuneSettings(steps=12, batch=6, rank=8, alpha=16, rate=1e-2, held_out=0.0, augmented=0.0, questions=2)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(shade):
    return np.full((96, 96, 3), shade, np.uint8)


def row(shade, answer, question=QUESTION):
    messages = (Message("user", question, (picture(shade),)), Message("assistant", answer))
    return Row("describer", messages, (f"{shade}.png",), ("sampled",), "open the drawer", "same", 0, shade)


@pytest.fixture
def rows(tmp_path):
    """Bright frames show an open drawer, dark ones do not; nobody ever told `tiny` so."""
    path = tmp_path / "rows.parquet"
    bright, dark = range(170, 200, 5), range(20, 50, 5)
    write_parquet([row(shade, "yes") for shade in bright] + [row(shade, "no") for shade in dark], path)
    return path


def margins(model):
    asked = [(Message("user", QUESTION, (picture(shade),)),) for shade in (182, 31)]
    scores = TransformersVLM(model, device="cpu").score(asked, (" no", " yes"))
    return scores[:, 1] - scores[:, 0]


def test_a_tuned_model_says_what_the_rows_say(rows, tmp_path):
    before = margins(embedded_model())
    assert Tune((rows,), tmp_path / "tuned", settings=QUICK).run() == 0
    after = margins(tmp_path / "tuned")
    assert after[0] > 0 > after[1]
    assert not before[0] > 0 > before[1]
    told = json.loads((tmp_path / "tuned" / "tuning.json").read_text())
    assert (told["examples"], told["steps"], told["packed"]) == (12, 12, False)
    assert told["trainable"] > 0
    assert not (tmp_path / "tuned.work").exists()


def test_a_step_in_parts_is_the_same_step(rows, tmp_path):
    losses = []
    for accumulate in (1, 3):
        settings = replace(QUICK, steps=3, accumulate=accumulate)
        assert Tune((rows,), tmp_path / f"in {accumulate}", settings=settings).run() == 0
        losses.append(json.loads((tmp_path / f"in {accumulate}" / "tuning.json").read_text())["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_an_interrupted_run_ends_with_the_same_weights(rows, tmp_path, monkeypatch):
    assert Tune((rows,), tmp_path / "whole", settings=QUICK).run() == 0

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 7:
                raise KeyboardInterrupt

    real = training.RoleTrainer

    def stopping(**settings):
        return real(**{**settings, "callbacks": [*settings["callbacks"], Stop()]})

    monkeypatch.setattr(training, "RoleTrainer", stopping)
    with pytest.raises(KeyboardInterrupt):
        Tune((rows,), tmp_path / "parts", settings=QUICK).run()
    assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(training, "RoleTrainer", real)
    half_written = tmp_path / "parts.work" / "checkpoints" / "checkpoint-9"
    half_written.mkdir()
    (half_written / "trainer_state.json").write_text('{"global_st')
    (half_written.parent / "checkpoint-11").mkdir()
    assert Tune((rows,), tmp_path / "parts", settings=QUICK).run() == 0
    assert TransformersVLM(tmp_path / "parts").identity[6:] == TransformersVLM(tmp_path / "whole").identity[6:]


def test_tuning_stops_when_what_is_held_out_gets_no_better(tmp_path):
    path = tmp_path / "rows.parquet"
    rng = np.random.default_rng(0)
    shades = range(60)
    write_parquet([row(shade, ("no", "yes")[int(rng.integers(2))]) for shade in shades], path)
    settings = TuneSettings(steps=40, batch=6, rank=8, alpha=16, rate=1e-2, held_out=0.4, patience=1, augmented=0.0)
    assert Tune((path,), tmp_path / "tuned", settings=settings).run() == 0
    told = json.loads((tmp_path / "tuned" / "tuning.json").read_text())
    assert told["steps"] < 40
    assert told["best_step"] < told["steps"]


def test_a_batch_without_place_for_all_kinds_of_rows_is_refused(rows, tmp_path):
    few = replace(QUICK, batch=1)
    with pytest.raises(ConfigError, match=r"batch 1 has no place for the Describer beside 0 .* and 1 anchors"):
        Tune((rows,), tmp_path / "tuned", anchor=(rows,), settings=few).run()


def test_every_kind_of_rows_is_in_a_small_batch(rows):
    few = read_examples((rows,))
    kinds = training._mixture(few, few, replace(QUICK, batch=2, anchor_share=0.1))._kinds
    assert [kind.per_batch for kind in kinds] == [1, 0, 1]


@pytest.mark.parametrize("option", ["out", "work"])
def test_a_place_that_cannot_be_written_is_named_before_anything_is_learned(rows, tmp_path, option):
    (tmp_path / "file").write_text("")
    where = {"out": tmp_path / "tuned", option: tmp_path / "file" / "x"}
    with pytest.raises(ConfigError, match="cannot be made"):
        Tune((rows,), settings=QUICK, **where).run()


def test_a_folder_that_exists_is_not_overwritten(rows, tmp_path):
    (tmp_path / "tuned").mkdir()
    with pytest.raises(ConfigError, match="tuned: exists already"):
        Tune((rows,), tmp_path / "tuned", settings=QUICK).run()


def test_a_work_folder_of_other_settings_is_not_continued(rows, tmp_path):
    (tmp_path / "tuned.work").mkdir()
    (tmp_path / "tuned.work" / "begun.json").write_text('{"model": "other"}')
    with pytest.raises(ConfigError, match="another model"):
        Tune((rows,), tmp_path / "tuned", settings=QUICK).run()


def test_a_run_that_was_not_filtered_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"rows\.parquet.*robo-dialog filter"):
        Tune((tmp_path,), tmp_path / "tuned").run()


def test_rows_without_answers_are_refused(tmp_path):
    write_parquet(iter(()), tmp_path / "rows.parquet")
    with pytest.raises(ConfigError, match="no kept dialog"):
        Tune((tmp_path / "rows.parquet",), tmp_path / "tuned", settings=QUICK).run()
