"""What the gate shows to detectors: games played anew, views of outcomes, anchor questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import bundles
from labelled_pools import Attempt, level_of, write_pool
from robo_dialog.detect import Detector
from robo_dialog.detect.calibration import Calibration
from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.moments import read_moments
from robo_dialog.tune.examples import Example, Talk
from robo_dialog.tune.gathering import recalled_by, replayed_by, stances
from robo_dialog.tune.judges import BundleJudge
from robo_dialog.tune.margins import Margins, ask
from robo_dialog.tune.passes import views_of
from robo_dialog.tune.replays import read_games, replay
from robo_episodes.pool import FramePool
from test_repo_imports import reachable

ASKED = "The robot was told to lift it. Has it done so?"
OTHER = "Is it dark?"
PROMPT = "<image> The robot was told to {instruction}. Has it done so?"


@dataclass
class Answering:
    """Answers by brightness, and counts what it is asked."""

    answer: Callable[[float, str], float]
    identity: str = "answering"
    calibration: Calibration = field(default_factory=Calibration)
    asked: list[str] = field(default_factory=list)

    def margins(self, images, wordings):
        return self.answers(images, wordings)

    def answers(self, images, questions):
        self.asked += questions
        pairs = zip(images, questions, strict=True)
        return np.array([self.answer(bundles.margin_of(image.mean()), question) for image, question in pairs])


def honest(margin: float, question: str) -> float:
    return -margin if question == OTHER else margin


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> FramePool:
    """Twelve episodes, every second one bright, seen alike by two cameras."""
    levels = [level_of(6.0 if k % 2 else -6.0) for k in range(12)]
    attempts = [Attempt(f"e{k}", {"front": level, "side": level}) for k, level in enumerate(levels)]
    return FramePool.open(write_pool(tmp_path_factory.mktemp("gate") / "pool", attempts))


@pytest.fixture(scope="module")
def games(pool: FramePool) -> list[Dialog]:
    """One game for each bright episode among three dark ones, described from the side and guessed from the front."""
    frames = {moment.episode_id: moment.frames for moment in read_moments(pool)}
    dark = [f"e{k}" for k in range(0, 12, 2)]
    made = []
    for number, target in enumerate(f"e{k}" for k in range(1, 12, 2)):
        others = [dark[(number + k) % 6] for k in range(3)]
        candidates = tuple(
            View(frames[one]["front"], one, "front", 0)
            for one in [*others[: number % 4], target, *others[number % 4 :]]
        )
        turns = tuple(DialogTurn(q, "sampled", a, 0.9, 0.9, (), ()) for q, a in ((ASKED, True), (OTHER, False)))
        made.append(
            Dialog(
                game_id=number,
                seed=1,
                round=0,
                model="m",
                guesser="likelihood",
                pairing="cross_view",
                sampling="same_task",
                instruction="lift it",
                candidates=candidates,
                target=number % 4,
                describer=View(frames[target]["side"], target, "side", 0),
                turns=turns,
                outcome="won",
                kept=number != 3,
            )
        )
    return made


def played(pool: FramePool, games: list[Dialog], answer: Callable[[float, str], float]) -> list:
    judge = Answering(answer)
    instructions = {moment.episode_id: moment.instruction for moment in read_moments(pool)}
    return list(replay(judge, FrameStore(pool), games, instructions).values())


def test_who_sees_the_same_in_every_view_wins_and_answers_as_recorded(pool, games):
    found = played(pool, games, honest)
    assert [one.game_id for one in found] == list(range(6))
    assert all(one.won and one.answered == one.recorded == (True, False) for one in found)
    assert [one.kept for one in found] == [True, True, True, False, True, True]
    assert {one.family for one in found} == {"lift it"}
    assert {one.chance for one in found} == {0.25}


def test_who_sees_nothing_wins_by_luck_alone(pool, games):
    many = [replace(game, game_id=k) for k, game in enumerate(games * 40)]
    found = played(pool, many, lambda margin, question: 1.0)
    assert 0.15 < np.mean([one.won for one in found]) < 0.35


def test_who_is_wrong_about_everything_wins_and_yet_answers_otherwise(pool, games):
    """Winning shows that a detector agrees with itself; that its words still mean the same is seen by kept answers."""
    found = played(pool, games, lambda margin, question: -honest(margin, question))
    assert all(one.won for one in found)
    assert all(one.answered == (False, True) for one in found)


def test_every_question_is_put_once_to_every_sight(pool, games):
    judge = Answering(honest)
    instructions = {moment.episode_id: moment.instruction for moment in read_moments(pool)}
    replay(judge, FrameStore(pool), games * 3, instructions)
    assert len(judge.asked) == 2 * (6 + 6 + 6)


def test_a_game_with_a_question_that_cannot_be_put_is_left_out_for_both(pool, games):
    odd = replace(games[2], turns=(replace(games[2].turns[0], question="<image>?"), *games[2].turns[1:]))
    some = [*games[:2], odd, *games[3:]]
    shy = Answering(lambda margin, question: float("nan") if "<" in question else honest(margin, question))
    sides = replayed_by(Answering(honest), shy, pool, some)
    assert [one.game_id for one in sides.candidate] == [one.game_id for one in sides.champion or ()] == [0, 1, 3, 4, 5]
    assert replayed_by(shy, None, pool, some).champion is None


def test_a_shift_of_all_answers_loses_no_game(tmp_path, games, pool):
    """Thresholds of the population are found anew for each detector, if it is large enough to tell."""
    levels = [level_of((3.0 if k % 2 else -3.0) + 0.01 * k) for k in range(200)]
    attempts = [
        Attempt(f"e{k}", {"front": one}, instruction="lift the cube" if k % 3 else "lift the ball")
        for k, one in enumerate(levels)
    ]
    large = FramePool.open(write_pool(tmp_path / "pool", attempts))
    moments = read_moments(large)
    asked = "The robot was told to lift the cube. Has it done so?"
    turn = DialogTurn(asked, "instruction", True, 0.9, 0.9, (), ())
    own = [moment for moment in moments if moment.instruction == "lift the cube"]
    views = [View(moment.frames["front"], moment.episode_id, "front", 0) for moment in own]
    bright = [k for k, moment in enumerate(own) if int(moment.episode_id[1:]) % 2]
    dim = [k for k in range(len(own)) if k not in bright]
    many = [
        replace(games[0], game_id=k, target=0, describer=views[b], candidates=(views[b], views[d]), turns=(turn,))
        for k, (b, d) in enumerate(zip(bright, dim, strict=False))
    ]
    found = played(large, many, lambda margin, question: margin + 8.0)
    assert all(one.won and one.answered == (True,) for one in found)


def test_only_games_that_came_to_their_end_are_read(tmp_path, games):
    path = tmp_path / "dialogs.jsonl"
    path.write_text("".join(game.line() + "\n" for game in [replace(games[0], outcome="aborted"), *games]))
    assert [game.game_id for game in read_games(path, 4)] == [0, 1, 2, 3]
    path.write_text(replace(games[0], turns=()).line() + "\n")
    with pytest.raises(ConfigError, match="holds no game that came to its end"):
        read_games(path, 4)


def test_a_stance_is_what_would_be_served(tmp_path):
    """All cameras, each alone, and with every frame slightly changed."""
    attempts = [Attempt("a", {"front": level_of(4), "side": level_of(-8)}), Attempt("b", {"front": level_of(4)})]
    pool = FramePool.open(write_pool(tmp_path / "pool", attempts))
    detector = Detector.load(bundles.write(tmp_path / "bundle", Calibration(camera_weights={"front": 3.0})))
    views = views_of(pool, augmentations=2)
    margins = Margins("m")
    ask(BundleJudge(detector), FrameStore(pool), views.queries(detector.calibration), margins)
    first, second = stances(views, detector.calibration, margins)
    assert (first.called, first.cameras) == (True, {"front": True, "side": False})
    assert len(first.changed) == len(second.changed) == 2
    assert second.called


def test_anchor_questions_are_those_with_an_answer_about_one_image():
    def image(level: float) -> bytes:
        return bundles.png(bundles.grey(level_of(level)))

    def talk(question: str, answer: str) -> Talk:
        return Talk((("user", question), ("assistant", answer)))

    examples = [
        Example("describer", ("a.png",), (image(5),), (talk(ASKED, "yes"), talk(OTHER, "yes"))),
        Example("describer", ("b.png",), (image(-5),), (talk("What do you see?", "a cube"), talk(ASKED, "no"))),
        Example("guesser", ("a.png", "b.png"), (image(5), image(-5)), (talk("Which?", "yes"),)),
    ]
    found = recalled_by(Answering(honest), examples)
    assert [(one.image, one.right, one.said) for one in found] == [
        ("a.png", True, True),
        ("a.png", True, False),
        ("b.png", False, False),
    ]
    (silent, *_) = recalled_by(Answering(lambda margin, question: float("nan")), examples)
    assert silent.said is not silent.right


def test_a_bundle_answers_any_question_as_its_prompt_puts_it(tmp_path):
    """The graph of these bundles counts "nudge"; what has control tokens gets no answer."""
    asking = replace(bundles.PREPROCESSING, prompt=PROMPT)
    detector = Detector.load(bundles.write(tmp_path / "bundle", preprocess_json=asking.encode()))
    images = [bundles.grey(level_of(2.0))] * 3
    margins = detector.answers(images, ["Is it dark?", "nudge nudge?", "<image>?"])
    assert margins[:2] == pytest.approx([2.0, 4.0], abs=0.05)
    assert np.isnan(margins[2])
    assert detector.answers(images[:1], [ASKED]) == detector.margins(images[:1], ["lift it"])
    other = Detector.load(bundles.write(tmp_path / "other"))
    with pytest.raises(ModelError, match="export it again"):
        other.answers(images[:1], [ASKED])


def test_evidence_without_labels_imports_nothing_that_reads_them():
    seen = reachable({"robo_dialog.tune.gathering", "robo_dialog.tune.gate"})
    assert "robo_dialog.tune.replays" in seen
    assert not {"robo_dialog.tune.labels", "robo_dialog.tune.judged", "robo_dialog.tune.labelled"} & seen
