"""Which tokens are learned, and that conversations which share a row do not disturb each other."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from transformers import AutoModelForImageTextToText

from robo_dialog.errors import ModelError
from robo_dialog.models import embedded_model
from robo_dialog.tune.collate import IGNORED, Collator, Item
from robo_dialog.tune.examples import Talk
from robo_dialog.tune.masking import CLOSING_WEIGHT, spoken
from robo_dialog.tune.role_loss import can_pack, said
from robo_dialog.vlm.chat import Chat
from robo_dialog.vlm.processors import load_processor

ANSWERED = Talk((("user", "Is there a yes on the plate?"), ("assistant", "yes")))
OTHER = Talk((("user", "Is the drawer open?"), ("assistant", "no")))
GAME = Talk(
    (
        ("user", "These 2 images show attempts to open the drawer. Ask a yes/no question to find it."),
        ("assistant", "Is the drawer open?"),
        ("user", "yes. Which image is the target?"),
        ("assistant", "2"),
    )
)


@pytest.fixture(scope="module")
def tiny():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_pretrained(embedded_model(), dtype=torch.float32).eval()
    yield model, Chat(load_processor(embedded_model()))
    torch.set_num_threads(threads)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("talk", "images", "words"),
    [
        (ANSWERED, 1, " yes<end_of_utterance>"),
        (GAME, 2, " is the drawer open?<end_of_utterance> 2<end_of_utterance>"),
        (Talk((("user", "Say it twice: yes"), ("assistant", "yes, yes"))), 0, " yes, yes<end_of_utterance>"),
    ],
)
def test_exactly_the_roles_own_words_are_learned(tiny, talk, images, words):
    found = spoken(tiny[1], talk, images)
    learned = [token for token, weight in zip(found.ids, found.weights, strict=True) if weight > 0]
    assert tiny[1].tokenizer.decode(learned) == words
    assert found.prefix.count("<image>") == images
    assert "<image>" not in tiny[1].tokenizer.decode(found.asked_ids + found.ids)


def test_every_turn_weighs_one_however_long_it_is(tiny):
    found = spoken(tiny[1], GAME, 2)
    assert sum(found.weights) == pytest.approx(2 * (1 + CLOSING_WEIGHT))


def test_a_template_that_rewrites_what_was_said_is_refused(tiny):
    class Rewriting:
        chat_template = ""
        tokenizer = tiny[1].tokenizer

        @staticmethod
        def apply_chat_template(chat, add_generation_prompt=False):
            return f"{len(chat)} messages: " + " ".join(message["content"][-1]["text"] for message in chat)

    with pytest.raises(ModelError, match="rewrites earlier messages"):
        spoken(Chat(Rewriting()), ANSWERED, 0)


def log_probabilities(model, collator, items):
    inputs = collator(items)
    labels, weights = inputs.pop("labels"), inputs.pop("weights")
    with torch.no_grad():
        logits, labels, weights = said(model, inputs, labels, weights)
    return logits.log_softmax(-1), labels, weights


def test_packed_conversations_are_what_they_are_alone(tiny):
    model, chat = tiny
    items = [Item((picture(1),), (ANSWERED, OTHER)), Item((picture(2),), (OTHER, ANSWERED, OTHER))]
    packed, labels, weights = log_probabilities(model, Collator(chat, packed=True), items)
    alone, same_labels, same_weights = log_probabilities(model, Collator(chat, packed=False), items)
    assert torch.equal(labels, same_labels)
    assert torch.allclose(weights, same_weights)
    assert torch.allclose(packed, alone, atol=1e-4)


def test_a_conversation_is_not_seen_by_its_neighbours(tiny):
    model, chat = tiny
    answers = []
    for neighbour in (OTHER, GAME):
        item = Item((picture(3), picture(4)), (neighbour, ANSWERED))
        found, labels, _ = log_probabilities(model, Collator(chat, packed=True), [item])
        answers.append(found[-2:])
        assert labels[-1] == chat.tokenizer.eos_token_id
    assert torch.allclose(*answers, atol=1e-4)


def test_an_image_token_is_never_a_label(tiny):
    batch = Collator(tiny[1], packed=True)([Item((picture(5), picture(6)), (GAME, GAME))])
    image_token = tiny[1].tokenizer.convert_tokens_to_ids("<image>")
    assert (batch["input_ids"] == image_token).sum() == 128
    assert not (batch["labels"] == image_token).any()
    assert (batch["labels"] != IGNORED).sum() == ((batch["weights"] > 0).sum())


def test_packing_is_found_to_work_for_tiny_and_given_up_where_it_changes_answers(tiny):
    model, chat = tiny
    items = [Item((picture(7),), (ANSWERED, OTHER))]
    assert can_pack(model, Collator(chat, packed=False), items)

    class Blind(torch.nn.Module):
        """Takes no masks of its own for parts of a row."""

        device = model.device

        def forward(self, attention_mask=None, position_ids=None, **rest):
            plain = torch.ones(rest["input_ids"].shape, dtype=torch.long)
            return model(attention_mask=plain, **rest)

        def parameters(self, recurse=True):
            return model.parameters()

    assert not can_pack(Blind(), Collator(chat, packed=False), items)
