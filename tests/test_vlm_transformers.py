"""A transformers checkpoint behind the VLM protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.models import embedded_model
from robo_dialog.pretrain.architecture import build
from robo_dialog.vlm.pixels import form_of
from robo_dialog.vlm.prompts import ANSWERS, normalized, success_question
from robo_dialog.vlm.protocol import Message, Prompt
from robo_dialog.vlm.transformers_vlm import TransformersVLM


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random")
    model, processor = build(seed=2)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def vlm(folder: Path) -> TransformersVLM:
    return TransformersVLM(folder, device="cpu", batch=3)


def prompts(count: int) -> list[Prompt]:
    rng = np.random.default_rng(0)
    texts = ["Is there a red cube?", success_question("stack the red cube on the green cylinder"), "Why?"]
    return [
        (Message("user", texts[i % 3], (rng.integers(0, 256, (120, 160, 3), dtype=np.uint8),)),) for i in range(count)
    ]


def test_scores_are_log_probabilities_over_the_options(vlm: TransformersVLM) -> None:
    scores = vlm.score(prompts(4), ANSWERS)
    assert scores.shape == (4, 2)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, atol=1e-9)


def test_batch_mates_do_not_change_a_score(vlm: TransformersVLM) -> None:
    several = prompts(5)
    together = vlm.score(several, ANSWERS)
    alone = np.concatenate([vlm.score([prompt], ANSWERS) for prompt in several])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_prompts_give_no_scores(vlm: TransformersVLM) -> None:
    assert vlm.score([], ANSWERS).shape == (0, 2)


def test_the_same_seed_gives_the_same_texts(vlm: TransformersVLM) -> None:
    first, second, other = (vlm.generate(prompts(4), seed=seed, temperature=1.5, max_tokens=8) for seed in (1, 1, 2))
    assert first == second != other


def test_control_tokens_are_never_sampled(vlm: TransformersVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = vlm._chat.tokenizer
    seen: list[list[int]] = []
    decode = tokenizer.batch_decode
    monkeypatch.setattr(tokenizer, "batch_decode", lambda ids, **how: seen.extend(ids.tolist()) or decode(ids, **how))
    vlm.generate(prompts(6), seed=0, temperature=3.0, max_tokens=64)
    sampled = [row[: row.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in row else row for row in seen]
    assert sum(map(len, sampled)) > 50
    assert not {token for row in sampled for token in row} & set(tokenizer.all_special_ids)


def test_options_that_begin_alike_are_refused(vlm: TransformersVLM) -> None:
    with pytest.raises(ModelError, match="different tokens"):
        vlm.score(prompts(1), (" yes", " yes please"))


def test_options_that_share_their_first_token_are_told_apart_by_the_next(vlm: TransformersVLM) -> None:
    """As numbers are by tokenizers that cut them from the space before them."""
    tokens = vlm._chat.tokens(" the red cube")
    assert tokens[0] == vlm._chat.tokens(" the ball")[0]
    scores = vlm.score(prompts(2), (" the red cube", " the ball"))
    lead, following = vlm._chat.apart((" the red cube", " the ball"))
    assert (lead, len(set(following))) == (" the ", 2)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, atol=1e-9)


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path)):
        TransformersVLM(tmp_path)


def test_punctuation_and_spaces_do_not_change_the_question() -> None:
    assert success_question("  lift the  red cube. ") == success_question("lift the red cube")
    assert normalized("Open the drawer!") == "Open the drawer"


def questions_about_few_images() -> list[Prompt]:
    images = [message.images[0] for (message,) in prompts(3)]
    texts = ("Is there a red cube?", "Is the plate empty?", "Why?", "Is the drawer open or is it closed?")
    chat = (Message("assistant", "Is it red?"), Message("user", "yes"))
    single = [(Message("user", text, (image,)),) for text in texts for image in images]
    return [*single, *((Message("user", text, (images[0], images[2])), *chat) for text in texts)]


def test_shared_beginnings_change_no_score(vlm: TransformersVLM, folder: Path) -> None:
    whole = TransformersVLM(folder, device="cpu", batch=5)
    whole._cuttable = False
    asked = questions_about_few_images()
    np.testing.assert_allclose(vlm.score(asked, ANSWERS), whole.score(asked, ANSWERS), atol=1e-5)
    assert vlm._cuttable is True


def test_images_are_encoded_once_however_often_they_are_asked_about(vlm: TransformersVLM, monkeypatch) -> None:
    vlm.score(prompts(1), ANSWERS)
    seen: list[int] = []
    encode = vlm._model.model.vision_model.forward
    monkeypatch.setattr(
        vlm._model.model.vision_model, "forward", lambda **how: seen.append(len(how["pixel_values"])) or encode(**how)
    )
    vlm.score(questions_about_few_images(), ANSWERS)
    assert sum(seen) == 3 + 2


def test_a_prompt_given_twice_is_continued_anew(vlm: TransformersVLM) -> None:
    texts = vlm.generate(prompts(1) * 6, seed=0, temperature=1.5, max_tokens=12)
    assert len(set(texts)) > 3


def test_sampling_continues_what_greedy_decoding_of_the_whole_prompt_would(folder: Path) -> None:
    """Prompts of different lengths, given twice each, from the shared cache and without it."""
    asked = [prompt for prompt in questions_about_few_images() for _ in range(2)]
    texts = []
    for cuttable in (True, False):
        vlm = TransformersVLM(folder, device="cpu", batch=4)
        vlm._cuttable = cuttable
        texts.append(vlm.generate(asked, seed=0, temperature=0.0, max_tokens=6))
    assert texts[0] == texts[1]


def test_prompts_without_images_are_answered_too(vlm: TransformersVLM) -> None:
    mixed = [(Message("user", "Is it so?"),), *prompts(1)]
    assert np.isfinite(vlm.score(mixed, ANSWERS)).all()


def test_like_images_have_like_embeddings(vlm: TransformersVLM) -> None:
    first, second = (message.images[0] for (message,) in prompts(2))
    almost = np.clip(first.astype(int) + 2, 0, 255).astype(np.uint8)
    vectors = vlm.embed([first, almost, second])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_identity_follows_the_weights(vlm: TransformersVLM, folder: Path, tmp_path: Path) -> None:
    assert TransformersVLM(folder, device="cpu").identity == vlm.identity
    model, processor = build(seed=3)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert TransformersVLM(tmp_path, device="cpu").identity.split("-")[-1] != vlm.identity.split("-")[-1]


@pytest.mark.parametrize("size", [(96, 96), (120, 160)])
def test_pixels_by_the_form_of_a_prompt_are_those_of_the_processor(vlm: TransformersVLM, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    images = [tuple(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(3)) for _ in range(2)]
    cuts = [vlm._cut((Message("user", "Which?", some),)) for some in images]
    quick, plain = vlm._encode_alike(cuts), vlm._encode([cut.prefix for cut in cuts], images)
    assert vlm._forms[cuts[0].prefix, 3] is not None
    assert quick.keys() == plain.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(quick[name], value, atol=1e-5)


def test_a_processor_that_does_more_than_scale_colours_is_asked_for_every_image(vlm: TransformersVLM) -> None:
    image = np.full((96, 96, 3), 100, np.uint8)
    encoded = vlm._encode([vlm._cut(prompts(1)[0]).prefix], [(image,)])
    assert form_of(encoded, (image,), vlm._chat.processor.image_processor) is not None
    sharpened = {**encoded, "pixel_values": encoded["pixel_values"] * 1.01}
    assert form_of(sharpened, (image,), vlm._chat.processor.image_processor) is None
    assert form_of(encoded, (image,), object()) is None


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_cannot_be_used_is_named(device):
    with pytest.raises(ConfigError, match=f"--device {device}: cannot be used here"):
        TransformersVLM(embedded_model(), device=device)
