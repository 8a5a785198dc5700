"""Whole games between scripted models: what is won, what the filters see through, what a failing endpoint costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from robo_dialog.play.dialog import Dialog
from robo_dialog.play.engine import Engine
from robo_dialog.play.filters import Thresholds, Vocabulary, judged
from robo_dialog.play.judging import Answers, Offsets, Sight, judge
from robo_dialog.play.moments import Moment
from robo_dialog.play.sampling import Dealer
from robo_dialog.play.settings import GuesserKind, Mix, Pairing, Questions, Settings
from robo_dialog.play.words import lexicon, words
from robo_dialog.vlm.protocol import VLM, Image, Prompt, PromptsFailed
from robo_dialog.vlm.scripted import ScriptedVLM

CAMERAS = ("front", "side")
EPISODES = 24
INSTRUCTION = "lift the red cube"
QUESTIONS = tuple(f"Is bit {bit} of the cube set?" for bit in ("one", "two", "three", "four", "five"))
VOCABULARY = Vocabulary(frozenset(words(INSTRUCTION)), frozenset({"bit", "set"}))


def picture(episode: int, camera: str) -> Image:
    """An image that says which episode it is of; augmentation changes its grey levels a little, never the reading."""
    image = np.full((16, 16, 3), 8 * episode + 24, np.uint8)
    image[:, :, 2] = 60 if camera == "front" else 160
    return image


def episode_of(image: Image) -> int:
    return round((float(image[8, 8, 0]) - 24) / 8)


def moments() -> list[Moment]:
    return [Moment(f"e{i}", INSTRUCTION, 0, {camera: f"{camera}{i}" for camera in CAMERAS}) for i in range(EPISODES)]


def images_of(frame_ids: Sequence[str]) -> Mapping[str, Image]:
    found = {}
    for frame_id in frame_ids:
        camera = next(name for name in CAMERAS if frame_id.startswith(name))
        found[frame_id] = picture(int(frame_id.removeprefix(camera)), camera)
    return found


def truth(image: Image, question: str) -> bool:
    bit = next((k for k, known in enumerate(QUESTIONS) if known == question), None)
    return bit is not None and bool(episode_of(image) >> bit & 1)


def oracle(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
    """Answers bits rightly; as a prompt Guesser names the candidate that fits all answers."""
    if options[0] == " no":
        return (0.05, 0.95) if truth(prompt[0].images[0], prompt[0].text) else (0.95, 0.05)
    said = [message.text for message in prompt[1:]]
    asked, answered = said[0::2], [text.startswith("yes") for text in said[1::2]]
    blank = any(text.startswith("not answered") for text in said)
    fits = [sum(truth(image, q) == a for q, a in zip(asked, answered, strict=True)) for image in prompt[0].images]
    return [1.0 for _ in fits] if blank else [10.0**fit for fit in fits]


def ask(prompt: Prompt, rng: np.random.Generator) -> str:
    return QUESTIONS[int(rng.integers(len(QUESTIONS)))]


def engine(
    vlm: VLM, *, guesser: GuesserKind = "likelihood", pairing: Pairing = "same", hindsight: float = 0.0, seed: int = 0
) -> Engine:
    settings = Settings(pairing=pairing, questions=Questions(hindsight=hindsight))
    dealer = Dealer(moments(), pairing, Mix(), settings.rules.candidates, seed)
    offsets = Offsets(lexicon([INSTRUCTION]))
    return Engine(vlm, dealer, settings, images_of, (INSTRUCTION, "open the drawer"), offsets, guesser)


def play(one: Engine, games: int = 60) -> list[Dialog]:
    dialogs = [dialog for start in range(0, games, 20) for dialog in one.play(range(start, min(start + 20, games)))]
    return list(judged(dialogs, VOCABULARY, Thresholds(spread=0.05)))


@pytest.mark.parametrize("guesser", ["likelihood", "prompt"])
def test_a_model_that_sees_wins_and_its_dialogs_are_kept(guesser: GuesserKind) -> None:
    dialogs = play(engine(ScriptedVLM(oracle, ask), guesser=guesser))
    won = np.mean([dialog.outcome == "won" for dialog in dialogs])
    assert won > 0.7  # who sees nothing wins a quarter
    assert sum(dialog.kept for dialog in dialogs) > 4
    for dialog in dialogs:
        target = picture(int(dialog.describer.episode_id[1:]), dialog.describer.camera)
        assert [turn.answer for turn in dialog.turns] == [truth(target, turn.question) for turn in dialog.turns]
        assert dialog.candidates[dialog.target].episode_id == dialog.describer.episode_id


def test_chosen_questions_tell_more_candidates_apart_than_the_first_ones() -> None:
    def told_apart(guesser: GuesserKind) -> float:
        turns = [turn for d in play(engine(ScriptedVLM(oracle, ask), guesser=guesser)) for turn in d.turns[:1]]
        return float(
            np.mean(
                [min(sum(p > 0.5 for p in t.candidate_p_yes), sum(p < 0.5 for p in t.candidate_p_yes)) for t in turns]
            )
        )

    assert told_apart("likelihood") > told_apart("prompt") + 0.2


def test_the_describer_of_a_cross_view_game_looks_through_another_camera() -> None:
    dialogs = play(engine(ScriptedVLM(oracle, ask), pairing="cross_view"), 20)
    for dialog in dialogs:
        assert {view.camera for view in dialog.candidates} | {dialog.describer.camera} == set(CAMERAS)
        assert all(len(turn.checks) == 2 for turn in dialog.turns)


def test_an_augmented_game_shows_the_describer_another_picture() -> None:
    seen: list[Image] = []

    def answer(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        seen.extend(prompt[0].images if options[0] == " no" else ())
        return oracle(prompt, options)

    dialogs = play(engine(ScriptedVLM(answer, ask), pairing="augmented"), 4)
    assert all(dialog.describer.augmentation is not None for dialog in dialogs)
    plain = {picture(i, camera).tobytes() for i in range(EPISODES) for camera in CAMERAS}
    assert {image.tobytes() for image in seen} - plain


def test_a_position_biased_guesser_is_always_rejected() -> None:
    def answer(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        return oracle(prompt, options) if options[0] == " no" else [1.0, 0.1, 0.1, 0.1]

    dialogs = play(engine(ScriptedVLM(answer, ask), guesser="prompt"), 120)
    assert sum(dialog.outcome == "won" for dialog in dialogs) > 10
    assert not any(dialog.kept for dialog in dialogs)
    assert all("position_biased" in dialog.reasons for dialog in dialogs if dialog.outcome == "won")


def test_an_uninformed_guesser_survives_as_often_as_luck_allows() -> None:
    """It names an image by a whim that depends on the answers' wording alone: the same in every rotation."""

    def answer(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        if options[0] == " no":
            return oracle(prompt, options)
        whim = "not answered" in prompt[-1].text
        rng = np.random.default_rng([sum(episode_of(image) for image in prompt[0].images), whim])
        order = rng.permutation(EPISODES)
        return [1000.0 ** (-int(np.flatnonzero(order == episode_of(image))[0])) for image in prompt[0].images]

    games = 400
    dialogs = play(engine(ScriptedVLM(answer, ask), guesser="prompt", seed=3), games)
    chance = 1 / 4 * 3 / 4
    survived = sum(not {"lost", "position_biased", "lucky"} & set(dialog.reasons) for dialog in dialogs)
    assert abs(survived / games - chance) < 3 * math.sqrt(chance * (1 - chance) / games)
    lucky = np.mean([dialog.blank_guess == dialog.target for dialog in dialogs])
    assert abs(lucky - 1 / 4) < 3 * math.sqrt(3 / 16 / games)


def test_a_pixel_talking_pair_is_rejected() -> None:
    def answer(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        bright = (episode_of(prompt[0].images[0]) >> (len(prompt[0].text) % 5)) & 1
        return (0.05, 0.95) if bright else (0.95, 0.05)

    talk = ("Is the picture bright?", "Are the pixels rather dark?", "Is the corner of the image grey?")
    vlm = ScriptedVLM(answer, lambda prompt, rng: talk[int(rng.integers(len(talk)))])
    dialogs = play(engine(vlm))
    assert any(dialog.outcome == "won" for dialog in dialogs)
    assert not any(dialog.kept for dialog in dialogs)
    assert all("degenerate" in dialog.reasons for dialog in dialogs if dialog.outcome == "won")


def test_instructions_are_tested_in_the_wanted_share_of_turns() -> None:
    always = play(engine(ScriptedVLM(oracle, ask), hindsight=1.0), 20)
    assert {turn.source for dialog in always for turn in dialog.turns[:2]} == {"instruction", "hindsight"}
    assert {dialog.turns[2].source for dialog in always} == {"sampled"}  # there are two instructions only
    sometimes = play(engine(ScriptedVLM(oracle, ask), hindsight=0.5), 60)
    share = np.mean([turn.source != "sampled" for dialog in sometimes for turn in dialog.turns])
    assert 0.35 < share < 0.75


def test_no_question_is_put_twice() -> None:
    dialogs = play(engine(ScriptedVLM(oracle, lambda prompt, rng: QUESTIONS[0]), hindsight=0.0), 20)
    for dialog in dialogs:
        asked = [turn.question for turn in dialog.turns]
        assert len(set(asked)) == len(asked)


class Failing:
    """Fails the prompts of some calls as an endpoint does that is down for a while."""

    def __init__(self, fails: Callable[[Prompt], bool]) -> None:
        self._vlm, self._fails, self.identity = ScriptedVLM(oracle, ask), fails, "failing"

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
        scores = self._vlm.score(prompts, options)
        failures = {i: "HTTP 500" for i, prompt in enumerate(prompts) if self._fails(prompt)}
        scores[list(failures)] = np.nan
        if failures:
            raise PromptsFailed(failures, scores)
        return scores

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        texts = self._vlm.generate(prompts, seed=seed, temperature=temperature, max_tokens=max_tokens)
        failures = {i: "timed out" for i, prompt in enumerate(prompts) if self._fails(prompt)}
        if failures:
            raise PromptsFailed(failures, ["" if i in failures else text for i, text in enumerate(texts)])
        return texts


@pytest.mark.parametrize("guesser", ["likelihood", "prompt"])
def test_prompts_without_an_answer_abort_their_games_alone(guesser: GuesserKind) -> None:
    def touched(prompt: Prompt) -> bool:
        return any(episode_of(image) == 7 for message in prompt for image in message.images)

    dialogs = play(engine(Failing(touched), guesser=guesser), 40)
    assert [dialog.game_id for dialog in dialogs] == list(range(40))
    for dialog in dialogs:
        concerned = any(view.episode_id == "e7" for view in dialog.candidates)
        assert (dialog.outcome == "aborted") == concerned
        assert dialog.abort_reason in (("HTTP 500", "timed out") if concerned else (None,))
    assert any(dialog.outcome == "aborted" for dialog in dialogs)


def test_one_sample_that_fails_costs_no_game() -> None:
    class OneSampleFails(Failing):
        def generate(self, prompts: Sequence[Prompt], **how: object) -> list[str]:
            texts = self._vlm.generate(prompts, **how)
            raise PromptsFailed({0: "timed out"}, ["", *texts[1:]])

    dialogs = play(engine(OneSampleFails(lambda prompt: False)), 20)
    assert not any(dialog.outcome == "aborted" for dialog in dialogs)


def test_no_question_is_put_twice_to_the_same_image_and_nothing_is_remembered_across_calls() -> None:
    asked: list[tuple[bytes, str]] = []

    def remembering(prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        asked.append((prompt[0].images[0].tobytes(), prompt[0].text))
        return oracle(prompt, options)

    one = engine(ScriptedVLM(remembering, ask), guesser="likelihood", pairing="cross_view")
    one.play(range(20))
    recorded = [
        each for each in asked if each[0] in {picture(i, c).tobytes() for i in range(EPISODES) for c in CAMERAS}
    ]
    assert len(recorded) == len(set(recorded)) > 100
    before = len(asked)
    one.play(range(20))
    assert len(asked) == 2 * before


def test_an_answer_that_failed_is_asked_for_again() -> None:
    failing = True

    class Once(ScriptedVLM):
        def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
            scores = super().score(prompts, options)
            if failing:
                raise PromptsFailed({0: "timeout"}, scores)
            return scores

    answers, sight = Answers(), Sight(lambda: picture(1, "front"), INSTRUCTION, "front1")
    assert judge(Once(oracle, ask), [(sight, QUESTIONS[0])], answers).failures == {0: "timeout"}
    failing = False
    found = judge(Once(oracle, ask), [(sight, QUESTIONS[0]), (sight, QUESTIONS[0])], answers)
    assert not found.failures
    assert found.margins[0] == found.margins[1] != 0
