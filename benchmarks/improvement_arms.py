"""The arms of the study of self-improvement: what is learned in a round, all else being equal.

Every arm tunes with the same steps and anchor rows, and is fused and calibrated in the same way, without labels.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robo_dialog.detect.manifest import Lineage
from robo_dialog.improve.settings import RoundSettings
from robo_dialog.improve.stages import Round, detector_of, is_held_out, measured, play_round, settle, tune_on
from robo_dialog.models import embedded_bundle, embedded_model
from robo_dialog.play.bank import answers_in
from robo_dialog.play.dialog import Dialog, read_dialogs
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.judging import Offsets
from robo_dialog.play.moments import Moment, read_moments
from robo_dialog.play.preparation import from_json
from robo_dialog.play.proposals import Bank
from robo_dialog.play.rows import describer_rows, settled
from robo_dialog.play.run_folder import ANSWERS, DIALOGS, PREPARATION, read_json
from robo_dialog.play.words import lexicon
from robo_dialog.pretrain.held_out import Outcome, outcomes
from robo_dialog.pretrain.measure import state_accuracy
from robo_dialog.pretrain.questions import GOALS, sample_questions
from robo_dialog.tune.examples import Example, Talk, examples_of
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.commands import Ingest
from robo_episodes.images import encode_png
from robo_episodes.pool import FramePool
from robo_episodes.sim.command import Simulate
from truth import Truth

Arm = Literal[
    "base",
    "recalibrated",
    "cross_view",
    "supervised",
    "recalibrated_pseudo_labels",
    "same_view",
    "unfiltered",
    "pseudo_labels",
]
ARMS: tuple[Arm, ...] = (
    "recalibrated",
    "cross_view",
    "supervised",
    "recalibrated_pseudo_labels",
    "unfiltered",
    "same_view",
    "pseudo_labels",
)
Asked = tuple[str, str]
"""Episode and question."""
ANCHORS = 1500
STATES = 300


@dataclass(frozen=True)
class Lab:
    """Everything that the arms of one seed share."""

    work: Path
    seed: int
    episodes: int
    judged: int
    games: int
    base: Path | None = None
    """What `robo-dialog pretrain` wrote; None: the model that is embedded."""
    domain: str = "target"
    """What is to be learned; all figures that are called `target` are of it."""

    @property
    def start(self) -> str:
        """The checkpoint that every arm begins with."""
        return "tiny" if self.base is None else str(self.base / "tiny")

    @property
    def shipped(self) -> Path:
        """Its detector before anything is learned."""
        return embedded_bundle() if self.base is None else self.base / "tiny-bundle"

    @cached_property
    def settings(self) -> RoundSettings:
        """The product's own recipe."""
        plain = RoundSettings(games=self.games, seed=1000 * self.seed)
        return replace(plain, tune=replace(plain.tune, seed=self.seed))

    @cached_property
    def pool(self) -> Path:
        """Final frames of unlabelled episodes."""
        return simulated(self.work / f"{self.domain}-{self.seed}", self.domain, "train", 100 + self.seed, self.episodes)

    @cached_property
    def truth(self) -> Truth:
        """For the upper bound alone."""
        return Truth(FramePool.open(self.pool))

    @cached_property
    def finals(self) -> list[Moment]:
        """Outcomes that may be learned from."""
        moments = read_moments(FramePool.open(self.pool))
        return [one for one in moments if one.final and not is_held_out(one.episode_id, self.settings.held_out)]

    @cached_property
    def anchors(self) -> list[Example]:
        """What the base was trained on: source frames with true answers, the same for every seed."""
        found = []
        rng = np.random.default_rng(7)
        for number, one in enumerate(outcomes("source", "train", 500, ANCHORS)):
            camera = sorted(one.frames)[int(rng.integers(len(one.frames)))]
            asked = sample_questions(one.state, GOALS[one.goal.text()], rng, 10)
            talks = tuple(_talk(question.text(), answer) for question, answer in asked)
            found.append(Example("describer", (f"anchor-{number}",), (encode_png(one.frames[camera]),), talks))
        return found

    @cached_property
    def states(self) -> list[Outcome]:
        """Scenes about which yes/no state questions are put."""
        return outcomes(self.domain, "evaluation", 900, STATES)

    def judged_pool(self, domain: str) -> Path:
        """Labelled episodes for the final measure."""
        return simulated(self.work / f"judged-{domain}", domain, "evaluation", 900, self.judged)

    def folder(self, arm: Arm, number: int) -> Path:
        """Of one arm's round."""
        whose = "" if self.base is None else f"{self.base.name}-"
        return self.work / f"{whose}{arm}-{self.seed}" / f"round-{number}"

    def model_before(self, arm: Arm, number: int) -> str:
        """The checkpoint that a round begins with."""
        return self.start if number == 1 else str(self.folder(arm, number - 1) / "tuned")

    def figures(self, bundle: Path, model: str, folder: Path) -> dict[str, Any]:
        """The final measure: labelled episodes of both domains, and state questions."""
        found: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for what, domain in (("target", self.domain), ("source", "source")):
            all_of_it = measured(bundle, self.judged_pool(domain), folder / f"{domain}.json")
            names = ("balanced_accuracy", "interval", "recall_success", "recall_failure", "auroc", "ece")
            found |= {f"{what}_{name}": all_of_it[name] for name in names}
            families = all_of_it["by_family"].items()
            found[f"{what}_by_family"] = {name: one["balanced_accuracy"] for name, one in families}
        vlm = TransformersVLM(embedded_model() if model == "tiny" else model, device="cpu")
        return {**found, "state_accuracy": state_accuracy(vlm, self.states, seed=0)}


def base_of(lab: Lab, arm: Arm) -> dict[str, Any]:
    """The arms without training: the shipped bundle, and the same model fused and calibrated without labels."""
    folder, shipped, start = lab.folder(arm, 0), lab.shipped, lab.start
    if arm == "base":
        return lab.figures(shipped, start, folder)
    bundle = detector_of(start, lab.pool, folder / "bundle", Lineage(start), lab.settings.held_out, shipped)
    return lab.figures(bundle, start, folder)


def arm_round(lab: Lab, arm: Arm, number: int) -> dict[str, Any]:
    """One round of an arm with training."""
    folder, model = lab.folder(arm, number), lab.model_before(arm, number)
    this = Round(folder, number, model, Path(), lab.start)
    examples, about = _learned(lab, arm, this)
    if not (folder / "tuned").exists():
        tune_on(examples, model, folder / "tuned", lab.anchors, lab.settings)
    tuned = str(settle(this, lab.settings))
    bundle = detector_of(tuned, lab.pool, folder / "bundle", Lineage(model), lab.settings.held_out)
    return {**about, **lab.figures(bundle, tuned, folder)}


def _learned(lab: Lab, arm: Arm, this: Round) -> tuple[list[Example], dict[str, Any]]:
    """What an arm learns in a round, how much that is, and how much of it is right by the simulator's truth."""
    if arm == "supervised":
        answers = {asked: known for asked in _bank_of(lab) if (known := _true(lab, asked)) is not None}
    elif arm in ("pseudo_labels", "recalibrated_pseudo_labels"):
        answers = _pseudo(lab, this, calibrated=arm == "recalibrated_pseudo_labels")
    else:
        return _from_games(lab, arm, this)
    return _examples(lab, answers.items()), judged_worth(lab, answers.items())


def _from_games(lab: Lab, arm: Arm, this: Round) -> tuple[list[Example], dict[str, Any]]:
    if arm == "unfiltered":
        _shared(lab, this)
    pairing = "same" if arm == "same_view" else "all_views"
    settings = replace(lab.settings, play=replace(lab.settings.play, pairing=pairing))
    played = play_round(this, lab.pool, settings)
    dialogs = [one for one in read_dialogs(this.folder / "games" / DIALOGS) if _may_learn(lab, one)]
    said = {((one.describer.episode_id, turn.question), turn.answer) for one in dialogs for turn in one.turns}
    everything = {"answers_right_all_games": judged_worth(lab, said)["answers_right"], "games_kept": played["kept"]}
    if arm == "unfiltered":
        return _examples(lab, sorted(said)), {**everything, **judged_worth(lab, said)}
    kept = [one for one in dialogs if one.kept]
    image_of = lru_cache(maxsize=16)(FrameStore(FramePool.open(lab.pool)).image)
    return examples_of(describer_rows(kept, image_of)), {**everything, **judged_worth(lab, _settled(kept).items())}


def _shared(lab: Lab, this: Round) -> None:
    """In the first round the model is everybody's, and so are its games."""
    theirs, mine = lab.folder("cross_view", 1) / "games", this.folder / "games"
    if this.number == 1 and not mine.exists():
        part = mine.with_name("games.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(theirs, part)
        part.replace(mine)


def _pseudo(lab: Lab, this: Round, *, calibrated: bool) -> dict[Asked, bool]:
    """The surest answers of the model itself, averaged over cameras, as many of each family as games keep."""
    _shared(lab, this)
    few = replace(lab.settings, games=lab.settings.play.rules.candidates)
    play_round(this, lab.pool, few)
    games = lab.folder("cross_view", this.number) / "games"
    counted = _settled(one for one in read_dialogs(games / DIALOGS) if one.kept and _may_learn(lab, one))
    run = this.folder / "games"
    preparation, known = from_json(read_json(run / PREPARATION), run / PREPARATION), answers_in(run / ANSWERS)
    words = lexicon(one.instruction for one in lab.finals)
    offsets = preparation.offsets_by(words) if calibrated else Offsets(words)
    means: dict[str, list[tuple[float, Asked]]] = {}
    for moment in lab.finals:
        for proposal in preparation.bank[moment.instruction]:
            margins = [known[frame, proposal.question] for frame in moment.frames.values()]
            mean = float(np.mean(margins)) - offsets.of(proposal.question, moment.instruction)
            means.setdefault(words.family(proposal.question), []).append((mean, (moment.episode_id, proposal.question)))
    wanted: dict[str, int] = {}
    for _, question in counted:
        wanted[words.family(question)] = wanted.get(words.family(question), 0) + 1
    return {
        asked: mean > 0
        for family, some in means.items()
        for mean, asked in sorted(some, key=lambda one: -abs(one[0]))[: wanted.get(family, 0)]
    }


def _bank_of(lab: Lab) -> Iterable[Asked]:
    """All questions of the bank about all outcomes that may be learned from."""
    path = lab.folder("cross_view", 1) / "games" / PREPARATION
    bank: Bank = from_json(read_json(path), path).bank
    return ((one.episode_id, proposal.question) for one in lab.finals for proposal in bank[one.instruction])


def judged_worth(lab: Lab, answers: Collection[tuple[Asked, bool]]) -> dict[str, Any]:
    """How many answers are learned, and which share of them is right."""
    right = [known == answer for asked, answer in answers if (known := _true(lab, asked)) is not None]
    return {"answers": len(answers), "answers_right": float(np.mean(right))}


def _examples(lab: Lab, answers: Iterable[tuple[Asked, bool]]) -> list[Example]:
    store = FrameStore(FramePool.open(lab.pool))
    talks: dict[str, list[Talk]] = {}
    frames = {moment.episode_id: moment.frames for moment in lab.finals}
    for (episode_id, question), answer in answers:
        for frame in frames[episode_id].values():
            talks.setdefault(frame, []).append(_talk(question, answer))
    return [Example("describer", (f"{frame}.png",), (store.png(frame),), tuple(some)) for frame, some in talks.items()]


def _settled(dialogs: Iterable[Dialog]) -> dict[Asked, bool]:
    """What is learned from kept dialogs."""
    return {(episode_id, question): answer for (episode_id, _, question), answer in settled(dialogs).items()}


def _may_learn(lab: Lab, dialog: Dialog) -> bool:
    return not is_held_out(dialog.describer.episode_id, lab.settings.held_out)


def _true(lab: Lab, asked: Asked) -> bool | None:
    return lab.truth.of(asked[1], asked[0])


def _talk(question: str, answer: bool) -> Talk:
    return Talk((("user", question), ("assistant", "yes" if answer else "no")))


def simulated(folder: Path, domain: str, split: str, seed: int, episodes: int) -> Path:
    """A pool of final frames of simulated episodes, made if it is not there."""
    recording, pool = folder / f"{domain}.hdf5", folder / "pool"
    done = folder / "done.json"
    if not done.exists():
        Simulate(recording, domain=domain, episodes=episodes, seed=seed, split=split, every=10**9).run()
        Ingest((recording,), out=pool).run()
        done.write_text(json.dumps({"episodes": episodes}))
    return pool
