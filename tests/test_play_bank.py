"""The bank of questions: what is in it, that it is answered once, and that games with it are like other games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_dialog.errors import ConfigError
from robo_dialog.play.bank import ASKED_AT_ONCE, answered, gather
from robo_dialog.play.engine import Engine
from robo_dialog.play.filters import Vocabulary
from robo_dialog.play.judging import Known, Offsets
from robo_dialog.play.moments import Moment
from robo_dialog.play.preparation import prepare
from robo_dialog.play.proposals import Bank
from robo_dialog.play.rules import Rules
from robo_dialog.play.sampling import Dealer
from robo_dialog.play.settings import Mix, Pairing, Questions, Settings
from robo_dialog.play.table import Table, lay
from robo_dialog.play.words import lexicon, words
from robo_dialog.vlm.prompts import success_question
from robo_dialog.vlm.protocol import Image, Prompt
from robo_dialog.vlm.scripted import ScriptedVLM

THINGS = ("red cube", "blue ball")
INSTRUCTIONS = tuple(f"{verb} the {thing}" for verb in ("lift", "push") for thing in THINGS)
VOCABULARY = Vocabulary(frozenset(words(" ".join(INSTRUCTIONS))), frozenset())


def moments(count: int) -> list[Moment]:
    return [
        Moment(f"e{i}", INSTRUCTIONS[i % len(INSTRUCTIONS)], 0, {name: f"{name}-{i}" for name in ("front", "side")})
        for i in range(count)
    ]


def images_of(frame_ids: Sequence[str]) -> dict[str, Image]:
    return {one: np.full((8, 8, 3), int(one.split("-")[1]) % 256, np.uint8) for one in frame_ids}


class Counting:
    """Says yes to bright images, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def answer(self, prompt: Prompt, options: Sequence[str]) -> Sequence[float]:
        self.asked += 1
        yes = 0.1 + 0.8 * float(prompt[0].images[0].mean() % 16 > 7)
        return (1 - yes, yes)

    def engine(self, said: str = "Is the red cube on the blue ball?", **questions: int) -> Engine:
        settings = Settings(pairing="cross_view", questions=Questions(bank=6, hindsight=0.5, **questions))
        vlm = ScriptedVLM(self.answer, lambda prompt, rng: said)
        dealer = Dealer(moments(40), "cross_view", Mix(), settings.rules.candidates, 0)
        return Engine(vlm, dealer, settings, images_of, INSTRUCTIONS, Offsets(lexicon(INSTRUCTIONS)), "likelihood")


def questions(engine: Engine, instruction: str) -> list[tuple[str, str]]:
    return [(one.question, one.source) for one in gather(engine, moments(40), VOCABULARY, 6)[instruction]]


def test_a_question_about_one_object_is_put_to_all_that_instructions_name() -> None:
    bank = questions(Counting().engine("Is the red cube up?"), "push the blue ball")
    assert bank == [
        (success_question("push the blue ball"), "instruction"),
        (success_question("lift the blue ball"), "hindsight"),
        ("Is the blue ball up?", "sampled"),
    ]


def test_a_question_about_more_objects_than_an_instruction_names_is_not_put_to_it() -> None:
    assert not [one for one in questions(Counting().engine(), "push the blue ball") if one[1] == "sampled"]


def test_private_words_do_not_come_into_the_bank() -> None:
    bank = questions(Counting().engine("Is the red cube blicky?"), "lift the red cube")
    assert not [one for one in bank if one[1] == "sampled"]


def test_games_ask_the_model_nothing_that_the_bank_knows(tmp_path: Path) -> None:
    model = Counting()
    engine = model.engine("Is the red cube up?")
    bank = gather(engine, moments(40), VOCABULARY, 6)
    known = answered(engine, moments(40), bank, tmp_path / "answers.jsonl", lambda done: None)
    assert model.asked == sum(2 * len(bank[moment.instruction]) for moment in moments(40)) == len(known)
    dialogs = replace(engine, bank=bank, known=known).play(range(30))
    assert model.asked == len(known)
    assert {dialog.outcome for dialog in dialogs} <= {"won", "lost"}
    assert all(len(turn.checks) == 1 for dialog in dialogs for turn in dialog.turns)
    asked = {(turn.question, turn.source) for dialog in dialogs for turn in dialog.turns}
    assert asked <= {(one.question, one.source) for some in bank.values() for one in some}


def test_thresholds_are_found_from_what_the_bank_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_dialog.play.preparation.TRIAL_GAMES", 8)
    outcomes = moments(240)
    found, afterwards = [], []
    for reuses in (False, True):
        model = Counting()
        plain = model.engine("Is the red cube up?")
        settings = replace(plain.settings, guesser="likelihood")
        engine = replace(plain, dealer=Dealer(outcomes, "cross_view", Mix(), 4, 0), settings=settings)

        def known(bank: Bank, engine: Engine = engine, reuses: bool = reuses, model: Counting = model) -> Known:
            some = answered(engine, outcomes, bank, tmp_path / f"{reuses}.jsonl", lambda done: None)
            model.asked = 0
            return some if reuses else {}

        found.append(prepare(engine, outcomes, known))
        afterwards.append(model.asked)
    assert found[0] == found[1]
    assert found[0].splits
    assert found[0].own
    assert afterwards[0] > 500
    assert afterwards[1] == 0


def test_what_several_views_say_together_is_not_called_into_question_by_one() -> None:
    cameras = ("front", "side", "wrist")
    seen = [Moment(f"e{i}", INSTRUCTIONS[0], 0, {name: f"{name}-{i}" for name in cameras}) for i in range(8)]
    images = images_of([frame for moment in seen for frame in moment.frames.values()])

    def sights(pairing: Pairing) -> Table:
        dealer = Dealer(seen, pairing, Mix(), 4, 0)
        return lay(dealer.deal(3), Rules(), 3, 0, images, banked=True)

    assert (len(sights("all_views").described), len(sights("all_views").checks)) == (2, 0)
    assert (len(sights("cross_view").described), len(sights("cross_view").checks)) == (1, 1)


def test_an_interrupted_pass_over_the_pool_goes_on_and_ends_with_the_same_file(tmp_path: Path) -> None:
    model = Counting()
    engine, all_moments = model.engine("Is the red cube up?"), moments(2 * ASKED_AT_ONCE + 5)
    bank = gather(engine, all_moments, VOCABULARY, 6)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    known = answered(engine, all_moments, bank, whole, lambda done: None)
    first = whole.read_bytes().index(b"\n") + 1
    cut.write_bytes(whole.read_bytes()[: first + 100])
    before = model.asked
    assert answered(engine, all_moments, bank, cut, lambda done: None) == known
    assert cut.read_bytes() == whole.read_bytes()
    assert model.asked - before < len(known)


def test_a_damaged_file_of_answers_is_a_clear_error(tmp_path: Path) -> None:
    engine, path = Counting().engine(), tmp_path / "answers.jsonl"
    path.write_text("[1, 2]\n")
    with pytest.raises(ConfigError, match=r"answers\.jsonl"):
        answered(engine, moments(8), {}, path, lambda done: None)
