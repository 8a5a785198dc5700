"""Plain functions behind the VLM protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from robo_dialog.errors import ModelError
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import VLM, Message, Prompt, PromptsFailed
from robo_dialog.vlm.scripted import LEAST, ScriptedVLM


def ask(text: str) -> Prompt:
    return (Message("user", text),)


def certain(prompt: Prompt, options: tuple[str, ...]) -> Sequence[float]:
    """1 for the option that is the prompt's text."""
    return [float(option.strip() == prompt[-1].text) for option in options]


def any_number(prompt: Prompt, rng: np.random.Generator) -> str:
    return f"  {prompt[-1].text} {rng.integers(1 << 40)}\n"


def broken(prompt: Prompt) -> str:
    if prompt[-1].text == "bad":
        raise ModelError("out of order")
    return prompt[-1].text


SCRIPTED: VLM = ScriptedVLM(certain, any_number)


def test_weights_become_normalised_log_probabilities() -> None:
    vlm = ScriptedVLM(lambda prompt, options: (1, 2, 5), any_number)
    np.testing.assert_allclose(np.exp(vlm.score([ask("a")] * 2, (" 1", " 2", " 3"))), [[0.125, 0.25, 0.625]] * 2)


def test_each_prompt_is_answered_by_itself_and_in_order() -> None:
    scores = SCRIPTED.score([ask("yes"), ask("no"), ask("yes")], ANSWERS)
    assert scores.argmax(1).tolist() == [1, 0, 1]


def test_certain_answers_stay_finite() -> None:
    scores = SCRIPTED.score([ask("yes")], ANSWERS)
    np.testing.assert_allclose(np.exp(scores), [[LEAST, 1.0]], rtol=1e-6)


def test_no_prompts_give_no_scores_and_no_texts() -> None:
    assert SCRIPTED.score([], ANSWERS).shape == (0, 2)
    assert SCRIPTED.generate([], seed=0, temperature=1.0, max_tokens=8) == []


def test_the_same_seed_gives_the_same_texts_and_duplicates_differ() -> None:
    first, again, other = (
        SCRIPTED.generate([ask("a"), ask("a")], seed=seed, temperature=1.0, max_tokens=8) for seed in (1, 1, 2)
    )
    assert first == again
    assert len({*first, *other}) == 4
    assert all(text == text.strip() for text in first)


def test_a_prompt_that_the_script_fails_loses_no_other() -> None:
    vlm = ScriptedVLM(lambda prompt, options: (1.0, len(broken(prompt))), lambda prompt, rng: broken(prompt))
    prompts = [ask("good"), ask("bad"), ask("good")]
    with pytest.raises(PromptsFailed, match=r"1 of 3 .*out of order") as scoring:
        vlm.score(prompts, ANSWERS)
    with pytest.raises(PromptsFailed) as speaking:
        vlm.generate(prompts, seed=0, temperature=1.0, max_tokens=8)
    assert scoring.value.failures == speaking.value.failures == {1: "out of order"}
    assert np.isnan(np.asarray(scoring.value.results)).all(1).tolist() == [False, True, False]
    assert speaking.value.results == ["good", "", "good"]


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (-0.1, 1.0), (float("nan"), 1.0), ((1.0, 2.0),), ()])
def test_a_script_without_a_weight_for_each_option_is_a_clear_error(weights: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="give each a probability"):
        ScriptedVLM(lambda prompt, options: weights, any_number).score([ask("a")], ANSWERS)


def test_identity_is_what_it_was_given() -> None:
    assert SCRIPTED.identity == "scripted"
    assert ScriptedVLM(certain, any_number, identity="other").identity == "other"
