"""What the gate promotes and what it keeps out, on evidence made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from robo_dialog.errors import ConfigError
from robo_dialog.tune.evaluation import Judged, Seen
from robo_dialog.tune.evidence import Evidence, Recalled, Replayed, Sides, Stance
from robo_dialog.tune.gate import Decision, decide
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.gate_rules import Check, kappa

FAMILIES = ("lift the _", "open the drawer", "push the _")


def judged(accuracy: float, count: int = 300, seed: int = 0, worse: str = "") -> list[Judged]:
    """Episodes of three families; `worse` is one that is mostly judged wrongly."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        success, family = k % 2 == 0, FAMILIES[k // 2 % 3]
        right = random.random() < (0.3 if family == worse else accuracy)
        seen = Seen(0.9 if success is right else 0.1, 0.5)
        made.append(Judged(f"e{k}", success, family, "day", None, seen, {"front": seen}))
    return made


def replayed(share: float, count: int = 300, seed: int = 0, answers: float = 0.9) -> list[Replayed]:
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        recorded = tuple(bool(one) for one in np.random.default_rng(k).random(3) < 0.5)
        answered = tuple(one is (random.random() < answers) for one in recorded)
        won = bool(random.random() < share)
        made.append(Replayed(k, f"e{k}", FAMILIES[k % 3], won, 0.25, k % 2 == 0, recorded, answered))
    return made


def stances(noise: float, count: int = 300, yes: float = 0.5, seed: int = 0) -> list[Stance]:
    """Two cameras and one augmentation that contradict the truth in a share `noise`."""
    truth = np.random.default_rng(99).random(count) < yes
    said = truth[:, None] ^ (np.random.default_rng(seed).random((count, 4)) < noise)
    rows = enumerate(said.tolist())
    return [Stance(f"e{k}", whole, {"front": a, "side": b}, (changed,)) for k, (whole, a, b, changed) in rows]


def recalled(accuracy: float, count: int = 600, seed: int = 0) -> list[Recalled]:
    right = np.random.default_rng(seed).random(count) < accuracy
    return [Recalled(f"i{k // 3}", k % 2 == 0, (k % 2 == 0) is bool(one)) for k, one in enumerate(right.tolist())]


def labels(candidate: list[Judged], champion: list[Judged] | None) -> Decision:
    return decide(Evidence("", labelled=Sides(candidate, champion)), Limits())


def failed(decision: Decision) -> list[str]:
    return [one.name for one in decision.checks if not one.passed]


def test_a_better_candidate_is_promoted():
    decision = labels(judged(0.95), judged(0.8, seed=1))
    assert decision.promoted
    assert decision.reason == "every check passed"


def test_an_equal_candidate_is_promoted():
    same = judged(0.8)
    assert labels(same, same).promoted


def test_a_worse_candidate_is_not():
    decision = labels(judged(0.8), judged(0.95, seed=1))
    assert not decision.promoted
    assert "balanced accuracy" in failed(decision)
    assert "0.737 against 0.940, difference -0.203" in decision.reason


def test_a_candidate_that_seems_equal_on_too_little_is_not():
    """Of 60 episodes on which half of the verdicts differ, nobody can tell that it is not far worse."""
    random = np.random.default_rng(3)
    champion = judged(0.7, 60)
    candidate = [
        replace(one, seen=Seen(1 - one.seen.probability, 0.5)) if random.random() < 0.5 else one for one in champion
    ]
    decision = labels(candidate, champion)
    (check,) = [one for one in decision.checks if one.name == "balanced accuracy"]
    assert check.figures["low"] < -0.02
    assert not check.passed


def test_better_on_the_whole_does_not_pay_for_one_family():
    one_sided = [replace(one, cameras={}, place=one.episode_id) for one in judged(1.0, 600, worse="push the _")]
    champion = [replace(one, cameras={}, place=one.episode_id) for one in judged(0.6, 600, seed=1)]
    decision = labels(one_sided, champion)
    assert not decision.promoted
    assert failed(decision) == ["family 'push the _'"]


def test_a_place_and_a_camera_are_slices_too():
    champion = judged(0.8, seed=1)
    broken = [
        replace(one, place=f"p{k % 3}", cameras={"front": Seen(0.9 if k % 4 else 0.1, 0.5)})
        for k, one in enumerate(judged(1.0))
    ]
    decision = labels(broken, [replace(one, place=f"p{k % 3}") for k, one in enumerate(champion)])
    assert failed(decision) == ["camera 'front'"]
    assert {"place 'p0'", "place 'p1'", "place 'p2'"} <= {one.name for one in decision.checks}


def test_a_camera_that_sees_nothing_has_nothing_to_lose():
    def blind(some: list[Judged], seed: int) -> list[Judged]:
        random = np.random.default_rng(seed)
        return [replace(one, cameras={"wrist": Seen(float(random.random()), 0.5)}) for one in some]

    decision = labels(blind(judged(0.97), 2), blind(judged(0.9, seed=1), 3))
    assert decision.promoted
    assert not any(one.name.startswith("camera") for one in decision.checks)


def test_probabilities_that_mean_less_than_before_are_refused():
    champion = [
        replace(one, seen=replace(one.seen, probability=0.8 if one.seen.called else 0.2)) for one in judged(0.8)
    ]
    sure = [replace(one, seen=replace(one.seen, probability=float(one.seen.called))) for one in judged(0.8)]
    assert failed(labels(sure, champion)) == ["calibration error"]


def test_too_few_labels_decide_nothing():
    decision = labels(judged(0.95, 30), judged(0.8, 30, seed=1))
    assert not decision.promoted
    assert "nothing tells what it is worth" in decision.reason


def test_games_decide_where_there_are_no_labels():
    def games(candidate: float, champion: float) -> Decision:
        return decide(Evidence("", games=Sides(replayed(candidate), replayed(champion, seed=1))), Limits())

    assert games(0.8, 0.6).promoted
    assert "games won" in failed(games(0.6, 0.8))
    few = Sides(replayed(0.8, 20), replayed(0.6, 20, seed=1))
    assert not decide(Evidence("", games=few), Limits()).promoted


def test_many_games_about_few_episodes_are_few_pieces_of_evidence():
    """30 targets, each found in all of its 30 games or in none: of 900 different targets it would be proof."""
    mine, theirs = replayed(0.9, 30, seed=2) * 30, replayed(0.7, 30, seed=1) * 30

    def checked(*sides: list[Replayed]) -> Check:
        decision = decide(Evidence("", games=Sides(*sides)), Limits())
        return next(one for one in decision.checks if one.name == "games won")

    def about_others(games: list[Replayed]) -> list[Replayed]:
        return [replace(one, episode_id=f"e{k}") for k, one in enumerate(games)]

    assert checked(mine, theirs).figures["difference"] > 0
    assert not checked(mine, theirs).passed
    assert checked(about_others(mine), about_others(theirs)).passed


def test_labels_are_believed_before_games():
    """A candidate that wins slightly fewer games, but judges better, is promoted; without the labels it is not."""
    games = Sides(
        replayed(0.8, 1000), [replace(one, won=one.won or one.game_id % 50 == 0) for one in replayed(0.8, 1000)]
    )
    labelled = Sides(judged(0.95), judged(0.8, seed=1))
    assert decide(Evidence("", labelled=labelled, games=games), Limits()).promoted
    assert not decide(Evidence("", games=games), Limits()).promoted


def test_a_family_of_games_may_not_be_lost():
    candidate = [replace(one, won=one.won and one.family != "push the _") for one in replayed(0.95)]
    decision = decide(Evidence("", games=Sides(candidate, replayed(0.6, seed=1))), Limits())
    assert failed(decision) == ["games of 'push the _'"]


def test_answers_of_kept_games_must_come_again():
    decision = decide(Evidence("", games=Sides(replayed(0.9, answers=0.6), replayed(0.6, seed=1))), Limits())
    assert failed(decision) == ["kept answers"]


def test_a_detector_that_always_says_the_same_is_refused_however_well_it_agrees_with_itself():
    games = Sides(replayed(0.9), replayed(0.6, seed=1))
    constant = [Stance(f"e{k}", True, {"front": True, "side": True}, (True,)) for k in range(300)]
    decision = decide(Evidence("", games=games, outcomes=Sides(constant, stances(0.1))), Limits())
    assert failed(decision) == ["both verdicts", "cameras agree", "verdicts hold"]


def test_cameras_must_go_on_to_agree():
    games = Sides(replayed(0.9), replayed(0.6, seed=1))
    for noise, refused in ((0.1, []), (0.25, ["cameras agree", "verdicts hold"])):
        outcomes = Sides(stances(noise, 900, seed=5), stances(0.1, 900, seed=6))
        assert failed(decide(Evidence("", games=games, outcomes=outcomes), Limits())) == refused


def test_what_the_base_could_do_must_not_be_forgotten():
    games = Sides(replayed(0.9), replayed(0.6, seed=1))
    for accuracy, refused in ((0.95, []), (0.9, ["anchor"])):
        anchor = Sides(recalled(accuracy), recalled(0.95))
        assert failed(decide(Evidence("", games=games, anchor=anchor), Limits())) == refused


def test_slow_candidates_and_broken_exports_are_refused():
    games = Sides(replayed(0.9), replayed(0.6, seed=1))
    slow = Evidence("golden.npz: off by 2", games=games, seconds=Sides([0.02, 0.03, 0.9], [0.01, 0.01, 0.01]))
    assert failed(decide(slow, Limits())) == ["export parity", "latency"]
    assert failed(decide(slow, Limits(slowest=3.0))) == ["export parity"]


@pytest.mark.parametrize(
    ("evidence", "refused"),
    [
        (Evidence("", labelled=Sides(judged(0.8))), []),
        (Evidence("", labelled=Sides(judged(0.58, 900))), ["balanced accuracy"]),
        (Evidence("", labelled=Sides(judged(1.0, worse="push the _"))), ["family 'push the _'"]),
        (Evidence("", games=Sides(replayed(0.5))), []),
        (Evidence("", games=Sides(replayed(0.26))), ["games won"]),
        (Evidence("", games=Sides(replayed(0.5)), anchor=Sides(recalled(0.5))), ["anchor"]),
        (Evidence("", games=Sides(replayed(0.5)), outcomes=Sides(stances(0.1))), []),
        (Evidence("", games=Sides(replayed(0.5)), outcomes=Sides(stances(0.5))), ["cameras agree", "verdicts hold"]),
    ],
)
def test_a_first_candidate_must_be_better_than_chance(evidence, refused):
    assert failed(decide(evidence, Limits())) == refused


def test_nothing_at_all_promotes_nobody():
    decision = decide(Evidence(""), Limits())
    assert not decision.promoted
    assert "nothing tells what it is worth" in decision.reason


def test_evidence_of_different_things_is_no_evidence():
    with pytest.raises(ValueError, match="same things"):
        labels(judged(0.9), judged(0.9)[::-1])
    with pytest.raises(ValueError, match="same things"):
        decide(Evidence("", games=Sides(replayed(0.9), replayed(0.9)[1:])), Limits())


def test_a_decision_is_plain_json_with_every_reason():
    decision = labels(judged(0.8), judged(0.95, seed=1))
    written = json.loads(json.dumps(decision.as_json()))
    assert written["promoted"] is False
    by_name = {one["name"]: one for one in written["checks"]}
    assert by_name["balanced accuracy"]["figures"]["n"] == 300
    assert by_name["balanced accuracy"]["figures"]["difference"] < 0
    assert written["limits"]["margin"] == 0.02


def test_the_same_evidence_gives_the_same_decision():
    assert labels(judged(0.9), judged(0.8, seed=1)) == labels(judged(0.9), judged(0.8, seed=1))


def test_kappa_is_agreement_beyond_chance():
    one = np.arange(100) % 2 == 0
    assert (kappa(one, one), kappa(one, ~one), kappa(one, np.ones(100, np.bool_))) == (1.0, -1.0, 0.0)
    assert kappa(one, np.arange(100) % 4 < 2) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "changed", [{"margin": 1.0}, {"least_kept": -0.1}, {"fewest_games": 1}, {"fewest_episodes": 1}, {"slowest": 0.0}]
)
def test_limits_that_make_no_sense_are_refused(changed):
    with pytest.raises(ConfigError, match=next(iter(changed))):
        Limits(**changed)


def about(games: list[Replayed], episodes: int) -> list[Replayed]:
    return [replace(one, episode_id=f"e{one.game_id % episodes}") for one in games]


def test_many_games_about_few_episodes_decide_nothing():
    sides = Sides(about(replayed(0.9), 9), about(replayed(0.5, seed=1), 9))
    decision = decide(Evidence("", games=sides), Limits())
    assert not decision.promoted
    assert "300 games about 9 episodes decide nothing, 50 about 10 would" in str(decision.checks)


def test_games_of_a_family_about_one_episode_count_once():
    """Thirty games of a family lost about a single episode are no more likely a fall than one."""
    champion = about(replayed(1.0), 100)
    candidate = [replace(one, won=one.episode_id != "e0") for one in champion]
    games = {one.name: one for one in decide(Evidence("", games=Sides(candidate, champion)), Limits(fall=0.0)).checks}
    assert games["games of 'lift the _'"].figures["p_value"] == 1.0
    assert games["games of 'lift the _'"].passed
    several = [replace(one, won=int(one.episode_id[1:]) >= 60) for one in champion]
    fallen = {one.name: one for one in decide(Evidence("", games=Sides(several, champion)), Limits()).checks}
    assert not fallen["games of 'lift the _'"].passed


def test_a_slice_in_which_more_episodes_became_better_has_not_fallen():
    """Two episodes lose all of their games, eight win one more."""
    champion = [
        replace(one, family="lift it", won=one.game_id % 10 < 2 or one.game_id < 290) for one in replayed(1, 300)
    ]
    champion = about(champion, 10)
    games = {one.name: one for one in decide(Evidence("", games=Sides(better(champion), champion)), Limits()).checks}
    found = games["games of 'lift it'"]
    assert (found.figures["difference"] < -0.05, found.figures["p_value"] < 0.2, found.passed) == (True, True, True)


def better(games: list[Replayed]) -> list[Replayed]:
    """About eight of ten episodes one game more is won, about the others none."""
    return [replace(one, won=one.episode_id not in ("e0", "e1")) for one in games]
