"""Training rows: what each role learns from a kept dialog, and that trainers load the files as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robo_dialog.errors import ConfigError
from robo_dialog.models import embedded_model
from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.row_files import write_parquet, write_sharegpt
from robo_dialog.play.rows import training_rows
from robo_dialog.play.views import augment

OPENING = (
    "These 3 images show attempts to put the cube on the plate. One is the target. Ask a yes/no question to find it."
)
SEED = 77


def frame(frame_id):
    """A flat 48x64 image of a colour of its own."""
    return np.full((48, 64, 3), [len(frame_id) * 20, sum(frame_id.encode()) % 256, 90], np.uint8)


def view(frame_id, augmentation=None):
    return View(frame_id, f"episode of {frame_id}", "front", 0, augmentation)


def turn(question, answer, source="sampled"):
    return DialogTurn(question, source, answer, 0.9 if answer else 0.1, 0.6, (), ())


def dialog(describer, pairing="same", **changes):
    played = Dialog(
        game_id=5,
        seed=1,
        round=2,
        model="0" * 16,
        guesser="likelihood",
        pairing=pairing,
        sampling="same_task",
        instruction="put the cube on the plate.",
        candidates=(view("one"), view("second"), view("third-one")),
        target=1,
        describer=describer,
        turns=(turn("Is the cube on the plate?", True, "instruction"), turn("Is the gripper open?", False)),
        guesses=(1, 1, 1),
        blank_guess=0,
        outcome="won",
        kept=True,
    )
    return replace(played, **changes)


PAIRINGS = {
    "same": (view("second"), "second.png", frame("second")),
    "augmented": (view("second", SEED), f"second-{SEED}.png", augment(frame("second"), SEED)),
    "cross_view": (view("second from the side"), "second from the side.png", frame("second from the side")),
}


def said(row):
    return [(message.role, message.text) for message in row.messages]


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_describer_learns_its_answers_to_the_image_that_it_saw(pairing):
    describer, name, image = PAIRINGS[pairing]
    rows = list(training_rows([dialog(describer, pairing)], frame))
    assert [row.role for row in rows] == ["describer", "describer", "guesser"]
    assert said(rows[0]) == [("user", "Is the cube on the plate?"), ("assistant", "yes")]
    assert said(rows[1]) == [("user", "Is the gripper open?"), ("assistant", "no")]
    assert [row.sources for row in rows[:2]] == [("instruction",), ("sampled",)]
    for row in rows[:2]:
        assert row.image_names == (name,)
        assert np.array_equal(row.messages[0].images[0], image)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_guesser_learns_all_its_questions_and_the_targets_number_from_one(pairing):
    row = list(training_rows([dialog(PAIRINGS[pairing][0], pairing)], frame))[-1]
    assert said(row) == [
        ("user", OPENING),
        ("assistant", "Is the cube on the plate?"),
        ("user", "yes"),
        ("assistant", "Is the gripper open?"),
        ("user", "no. Which image is the target?"),
        ("assistant", "2"),
    ]
    assert row.trained == (False, True) * 3
    assert row.image_names == ("one.png", "second.png", "third-one.png")
    assert [
        np.array_equal(image, frame(name))
        for image, name in zip(row.messages[0].images, ("one", "second", "third-one"), strict=True)
    ] == [True] * 3
    assert [len(message.images) for message in row.messages[1:]] == [0] * 5


def test_a_guesser_that_saw_augmented_candidates_trains_on_those():
    candidates = (view("one", 3), view("one", 4))
    row = list(training_rows([dialog(view("one"), candidates=candidates, target=0)], frame))[-1]
    assert row.image_names == ("one-3.png", "one-4.png")
    assert np.array_equal(row.messages[0].images[1], augment(frame("one"), 4))


def test_dialogs_that_the_filters_did_not_keep_give_no_row():
    describer = view("second")
    lost = dialog(describer, outcome="lost").judged(("lost",))
    rejected = dialog(describer).judged(("lucky", "inconsistent"))
    aborted = dialog(describer, outcome="aborted", turns=(), guesses=()).judged(("aborted",))
    unjudged = dialog(describer, kept=False)
    assert list(training_rows([lost, rejected, aborted, unjudged], frame)) == []


def test_rows_come_one_dialog_after_another():
    asked = []

    def image_of(frame_id):
        asked.append(frame_id)
        return frame(frame_id)

    rows = training_rows([dialog(view("second")), dialog(view("a later one"))], image_of)
    next(rows)
    assert asked == ["second"]


def kept_rows(count=3):
    games = [dialog(PAIRINGS[name][0], name, game_id=number) for number, name in enumerate(PAIRINGS)]
    return training_rows(games[:count], frame)


def loaded(path: Path):
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def test_datasets_loads_the_parquet_as_pictures_and_messages(tmp_path):
    assert write_parquet(kept_rows(), tmp_path / "rows.parquet") == 9
    table = loaded(tmp_path / "rows.parquet")
    assert table.num_rows == 9
    augmented = table[3]
    assert (augmented["role"], augmented["pairing"], augmented["game_id"], augmented["round"]) == (
        "describer",
        "augmented",
        1,
        2,
    )
    assert np.array_equal(np.asarray(augmented["images"][0]), PAIRINGS["augmented"][2])
    guesser = table[2]
    assert guesser["messages"][-1] == {"role": "assistant", "content": "2"}
    assert guesser["trained"] == [False, True] * 3
    assert guesser["sources"] == ["instruction", "sampled"]
    assert [np.asarray(image)[0, 0].tolist() for image in guesser["images"]] == [
        frame(name)[0, 0].tolist() for name in ("one", "second", "third-one")
    ]


def test_no_kept_dialog_gives_a_parquet_with_the_same_columns(tmp_path):
    assert write_parquet(iter(()), tmp_path / "none.parquet") == 0
    write_parquet(kept_rows(), tmp_path / "some.parquet")
    none, some = pq.read_table(tmp_path / "none.parquet"), pq.read_table(tmp_path / "some.parquet")
    assert none.num_rows == 0
    assert none.schema.equals(some.schema, check_metadata=True)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    write_parquet(kept_rows(), tmp_path / "one.parquet")
    write_parquet(kept_rows(), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def broken_rows():
    yield from kept_rows(1)
    raise ConfigError("the pool is gone")


@pytest.mark.parametrize(("write", "name"), [(write_parquet, "rows.parquet"), (write_sharegpt, "robo_dialog.jsonl")])
def test_an_error_on_the_way_leaves_the_old_rows(tmp_path, write, name):
    target = tmp_path if write is write_sharegpt else tmp_path / name
    write(kept_rows(2), target)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ConfigError, match="the pool is gone"):
        write(broken_rows(), target)
    assert (tmp_path / name).read_bytes() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("write", [write_parquet, write_sharegpt])
def test_a_place_that_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="file"):
        write(kept_rows(), tmp_path / "file" / "rows")


def test_llama_factory_finds_a_mark_and_a_file_for_every_image(tmp_path):
    assert write_sharegpt(kept_rows(), tmp_path) == 9
    entry = json.loads((tmp_path / "dataset_info.json").read_text())["robo_dialog"]
    assert entry["formatting"] == "sharegpt"
    records = [json.loads(line) for line in (tmp_path / entry["file_name"]).read_text().splitlines()]
    tags, columns = entry["tags"], entry["columns"]
    for record in records:
        messages, images = record[columns["messages"]], record[columns["images"]]
        assert [message[tags["role_tag"]] for message in messages] == [tags["user_tag"], tags["assistant_tag"]] * (
            len(messages) // 2
        )
        assert messages[0][tags["content_tag"]].startswith("<image>" * len(images))
        assert sum(message[tags["content_tag"]].count("<image>") for message in messages) == len(images)
        assert all((tmp_path / image).is_file() for image in images)
    assert records[2]["messages"][0]["content"] == "<image><image><image>" + OPENING


def test_every_image_of_the_sharegpt_rows_is_written_once(tmp_path):
    write_sharegpt(kept_rows(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == sorted(
        {"one.png", "second.png", "third-one.png", *(name for _, name, _ in PAIRINGS.values())}
    )


def test_other_datasets_of_the_folder_stay_registered(tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}')
    write_sharegpt(kept_rows(), tmp_path)
    assert set(json.loads((tmp_path / "dataset_info.json").read_text())) == {"mine", "robo_dialog"}


def test_a_broken_dataset_info_is_refused_and_kept(tmp_path):
    (tmp_path / "dataset_info.json").write_text("[1, 2")
    with pytest.raises(ConfigError, match=r"dataset_info\.json.*repair"):
        write_sharegpt(kept_rows(), tmp_path)
    assert (tmp_path / "dataset_info.json").read_text() == "[1, 2"


def test_a_text_with_an_image_mark_of_its_own_is_refused(tmp_path):
    hostile = dialog(view("one"), turns=(turn("Is <image> red?", True),))
    with pytest.raises(ConfigError, match=r"game 5.*<image>"):
        write_sharegpt(training_rows([hostile], frame), tmp_path)


def test_a_frame_id_cannot_lead_out_of_the_folder(tmp_path):
    hostile = dialog(view("../../outside"))
    with pytest.raises(ConfigError, match=r"game 5.*outside"):
        write_sharegpt(training_rows([hostile], frame), tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("outside*"))


TRAINING_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in message['content'] %}{{ ' ' + part['text'] }}{% endfor %}<end_of_utterance>\n{% endgeneration %}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""The chat template of `tiny` with the marks by which TRL finds what the assistant says."""


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """TRL's own trainer on `tiny`, with the Parquet of three kept dialogs, three rows a step, for one step."""
    trl = pytest.importorskip("trl")
    transformers = pytest.importorskip("transformers")
    tmp_path = tmp_path_factory.mktemp("trl")
    write_parquet(kept_rows(), tmp_path / "rows.parquet")
    (tmp_path / "template.jinja").write_text(TRAINING_TEMPLATE)
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "out"),
        assistant_only_loss=True,
        max_length=None,
        chat_template_path=str(tmp_path / "template.jinja"),
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
    return trl.SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=processor)


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


def test_the_training_template_says_what_tinys_own_says():
    transformers = pytest.importorskip("transformers")
    processor = transformers.AutoProcessor.from_pretrained(embedded_model())
    chats = [
        [
            {"role": m.role, "content": [{"type": "image"}] * len(m.images) + [{"type": "text", "text": m.text}]}
            for m in row.messages
        ]
        for row in kept_rows(1)
    ]
    assert processor.apply_chat_template(chats, chat_template=TRAINING_TEMPLATE) == processor.apply_chat_template(chats)
