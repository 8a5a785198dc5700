"""TRL's own SFTTrainer takes the Parquet of training rows as it is, with `tiny`."""

from __future__ import annotations

import numpy as np
import pytest

from kept_dialogs import kept_rows, loaded
from robo_dialog.models import embedded_model
from robo_dialog.play.row_files import write_parquet


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """TRL's own trainer on `tiny`, with the Parquet of three kept dialogs, three rows a step, for one step."""
    trl = pytest.importorskip("trl")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tmp_path = tmp_path_factory.mktemp("trl")
    write_parquet(kept_rows(), tmp_path / "rows.parquet")
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "out"),
        assistant_only_loss=True,
        max_length=None,
        max_steps=1,
        per_device_train_batch_size=3,
        learning_rate=1e-3,
        warmup_steps=0,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    model = transformers.AutoModelForImageTextToText.from_pretrained(embedded_model(), dtype="float32")
    processor = transformers.AutoProcessor.from_pretrained(embedded_model())
    rows = loaded(tmp_path / "rows.parquet")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other on a busy machine, for minutes
    yield trl.SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=processor)
    torch.set_num_threads(threads)


def test_trl_takes_a_step_on_tiny(trainer):
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    result = trainer.train()
    assert np.isfinite(result.training_loss)
    assert result.training_loss > 0
    changed = {name for name, weight in trainer.model.named_parameters() if not before[name].equal(weight)}
    assert any("vision" in name for name in changed)
    assert any("text_model" in name for name in changed)


def test_trl_trains_on_the_roles_own_words_only(trainer):
    processor = trainer.processing_class
    examples = [dict(trainer.train_dataset[index]) for index in range(3)]
    labels = trainer.data_collator(examples)["labels"]
    learned = [processor.tokenizer.decode(row[row != -100]).lower().split("<end_of_utterance>\n") for row in labels]
    assert learned[0] == [" yes", ""]
    assert learned[1] == [" no", ""]
    assert learned[2] == [" is the cube on the plate?", " is the gripper open?", " 2", ""]
