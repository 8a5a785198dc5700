"""Training: packed rows compute what separate chats would, and an interrupted run ends where a whole one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robo_dialog.pretrain.architecture import IMAGE_TOKENS, build
from robo_dialog.pretrain.data import Frames
from robo_dialog.pretrain.dense import PLACES, THINGS, place_classes, thing_classes
from robo_dialog.pretrain.packing import IGNORED, Packer, Row, Turn, forward, image_features
from robo_dialog.pretrain.recipe import Recipe
from robo_dialog.pretrain.train import Trainer, one_cycle
from robo_episodes.sim.scene import Scene, Thing
from robo_episodes.sim.state import Goal, State


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def built(request: pytest.FixtureRequest) -> tuple:
    return build(seed=1, text=request.param)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def ordinary_logits(built: tuple, images: np.ndarray, talk: tuple[Turn, ...]) -> torch.Tensor:
    """Next-token logits after the chat, by the processor and the model's own forward."""
    model, processor = built
    chat = [{"role": turn.role.lower(), "content": [{"type": "text", "text": turn.text}]} for turn in talk]
    chat[0]["content"] = [{"type": "image"}] * len(images) + chat[0]["content"]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(text=[text], images=[list(images)], return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits[0, -1]


@pytest.mark.parametrize("count", [1, 4])
def test_packed_conversations_equal_separate_chats(built: tuple, count: int) -> None:
    model, processor = built
    images = pictures(count)
    asks = [
        (Turn("User", "Is there a red cube?"),),
        (Turn("User", "Is the drawer open?"), Turn("Assistant", "yes"), Turn("User", "Is the plate empty?")),
    ]
    answered = tuple((*talk, Turn("Assistant", "no", 1.0)) for talk in asks)
    batch = Packer(processor.tokenizer).pack([Row(tuple(range(count)), answered)])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        _, features = image_features(model, pixels)
        logits, targets, weights = forward(model, features, batch, model.config.image_token_id)
    assert features.shape[1] == IMAGE_TOKENS
    words = [i for i, weight in enumerate(weights.tolist()) if weight == 1.0]
    assert processor.tokenizer.decode(targets[words]) == " no no"
    for place, talk in zip(words, asks, strict=True):
        torch.testing.assert_close(logits[place], ordinary_logits(built, images, talk), atol=2e-4, rtol=0)


def test_only_the_models_own_words_are_targets(built: tuple) -> None:
    _, processor = built
    talk = (Turn("User", "Is there a red cube?"), Turn("Assistant", "yes", 1.0))
    batch = Packer(processor.tokenizer).pack([Row((0,), (talk,))])
    learned = batch.targets[batch.targets != IGNORED]
    assert processor.tokenizer.decode(learned) == " yes<end_of_utterance>"


def test_the_other_language_side_is_as_large() -> None:
    llama, qwen3 = (sum(p.numel() for p in build(text=text)[0].parameters()) for text in ("llama", "qwen3"))
    assert 0.9 < qwen3 / llama < 1.1


def test_any_text_can_be_encoded_and_read_back(built: tuple) -> None:
    tokenizer = built[1].tokenizer
    text = " pick up the black bowl, café №5 ✓"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text.replace("№", "no")


def some_frames(count: int = 16) -> Frames:
    held = ("red cube", None)
    states = [
        State(frozenset({"red cube"}), frozenset(), frozenset(), frozenset(), held[i % 2], i % 3 / 2)
        for i in range(count)
    ]
    return Frames(
        images=pictures(count),
        things=np.random.default_rng(1).integers(0, len(THINGS), (count, 8, 8)).astype(np.uint8),
        places=np.random.default_rng(2).integers(0, len(PLACES), (count, 8, 8)).astype(np.uint8),
        states=states,
        goals=[Goal("lift", "red cube"), Goal("open")] * (count // 2),
        cameras=np.array(["front"] * count),
        episodes=np.arange(count),
    )


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_dialog.pretrain.train.CHECKPOINT_EVERY", 1)
    recipe = Recipe(vision_steps=2, vision_batch=4, steps=2, game_steps=1, batch=4)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Trainer(recipe, some_frames(), tmp_path / "whole")
    losses = [progress.loss for progress in whole.run()]
    for stop in (1, 3):
        run = Trainer(recipe, some_frames(), tmp_path / "cut").run()
        for _ in range(stop):
            next(run)
        run.close()
    rest = Trainer(recipe, some_frames(), tmp_path / "cut")
    assert [progress.loss for progress in rest.run()][-1] == losses[-1]
    whole.export(tmp_path / "a")
    rest.export(tmp_path / "b")
    files = [tmp_path / name / "model.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_rate_warms_up_and_dies_away() -> None:
    rates = [one_cycle(step, 1000) for step in range(1000)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.03


def test_a_patch_takes_the_object_that_covers_a_tenth_of_it() -> None:
    scene = Scene((Thing(0, "blue", (0, 0, 0), 0.0),), (0, 0), 0.0)
    pixels = np.zeros((96, 96), np.uint8)
    pixels[0:6, 0:6] = 6  # slot 0, a quarter of the first patch
    pixels[12:14, 12:14] = 6  # a fortieth of another
    pixels[24:36, 24:36] = 2  # a whole patch of plate
    classes = thing_classes(pixels, scene)
    assert classes[0, 0] == 6 + 6  # "blue cube" is the seventh name
    assert classes[1, 1] == 0
    assert classes[2, 2] == 2


def test_a_place_is_what_is_true_of_the_thing_in_the_patch() -> None:
    state = State(
        present=frozenset({"red cube", "blue cube", "green ball", "yellow ball"}),
        on_plate=frozenset({"blue cube"}),
        on_table=frozenset(),
        on_top=frozenset({("red cube", "blue cube")}),
        held="green ball",
        drawer=0.4,
    )
    shown = ("nothing", "red cube", "blue cube", "green ball", "yellow ball", "plate", "handle", "gripper")
    grid = np.array([[THINGS.index(name) for name in shown]], np.uint8)
    assert [PLACES[place] for place in place_classes(grid, state)[0]] == [
        "nothing",
        "on the blue cube",
        "on the plate",
        "in the gripper",
        "elsewhere",
        "plate taken",
        "drawer half open",
        "gripper holding",
    ]
