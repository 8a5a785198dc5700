"""What else can `tiny` be asked? Which colour, which object, how many, where, and conditions of two or turned round.

    python benchmarks/question_types.py [--seeds 0 1 2] [--round 3] [--work runs/self-improvement]

Every question is put in two ways: as it is, the answer being the option that the model finds likeliest, and in parts,
as the yes/no questions that decide it. Asked of the final frames of simulated episodes that no model has seen, to
`tiny` as it is shipped and to the models that benchmarks/self_improvement.py left after a round. Labels are read here,
to say what is right, and nothing is learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console

from improvement_arms import Lab
from record import record
from robo_dialog.models import embedded_model
from robo_dialog.pretrain.held_out import Outcome, outcomes
from robo_dialog.pretrain.measure import VIEWS, question_prompt
from robo_dialog.pretrain.questions import COUNTS, Question, answer, sample_questions
from robo_dialog.vlm.prompts import ANSWERS
from robo_dialog.vlm.protocol import VLM, Image
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.sim.scene import COLORS, SHAPES

DOMAINS = ("source", "target")
SEED = 901
"""Other episodes than those that the study is judged on."""
NEGATED = ("on_plate", "on_table", "held", "open", "closed")
PLACES = {"on_plate": "plate", "on_table": "table", "held": "gripper"}
Margins = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """One question about one image."""

    text: str
    options: tuple[str, ...]
    right: int
    """Index of the right option."""
    parts: tuple[Question, ...]
    """Yes/no questions that decide it."""
    decide: Callable[[Margins], int]
    """Index of the option that answers to the parts, yes where positive, stand for."""


@dataclass(frozen=True)
class Options:
    """Who is asked, and how much."""

    seeds: tuple[int, ...] = (0, 1, 2)
    round: int = 3
    episodes: int = 300
    """Of each domain."""
    work: Path = Path("runs/self-improvement")
    """Where the study keeps its models."""


def main(options: Options) -> None:
    """Ask, and write means over the models of a round."""
    labs = [Lab(options.work, seed, 0, 0, 0) for seed in options.seeds]
    after = [lab.folder("cross_view", options.round) / "model" for lab in labs]
    models = {"base": [embedded_model()], f"after_r{options.round}": after}
    figures: dict[str, float] = {}
    for domain in DOMAINS:
        seen = outcomes(domain, "evaluation", SEED, options.episodes)
        for name, paths in models.items():
            found = [judged(TransformersVLM(path, device="cpu"), seen) for path in paths]
            figures |= {f"{name}_{domain}_{key}": float(np.mean([one[key] for one in found])) for key in found[0]}
    Console().print(figures)
    record("question_types", figures, {})


def judged(vlm: VLM, seen: Sequence[Outcome]) -> dict[str, float]:
    """Share of right answers by kind of question, as it is and in parts, beside always giving the commonest one."""
    found: dict[str, float] = {}
    for number, (kind, ask) in enumerate(KINDS.items()):
        rng = np.random.default_rng([SEED, number])
        asked = [(one.frames[VIEWS[int(rng.integers(2))]], each) for one in seen for each in ask(one, rng)]
        rights = Counter(one.right for _, one in asked)
        found[f"{kind}_questions"] = len(asked)
        found[f"{kind}_commonest"] = max(rights.values()) / len(asked)
        found[f"{kind}_asked"] = asked_whole(vlm, asked)
        found[f"{kind}_in_parts"] = asked_in_parts(vlm, asked)
    return found


def asked_whole(vlm: VLM, asked: Sequence[tuple[Image, Asked]]) -> float:
    """Share of questions to which the right option is the likeliest."""
    scores = vlm.score([question_prompt(image, one.text) for image, one in asked], asked[0][1].options)
    return float((scores.argmax(1) == np.array([one.right for _, one in asked])).mean())


def asked_in_parts(vlm: VLM, asked: Sequence[tuple[Image, Asked]]) -> float:
    """Share of questions that the answers to their parts decide rightly."""
    scores = vlm.score([question_prompt(image, part.text()) for image, one in asked for part in one.parts], ANSWERS)
    margins = np.split(scores[:, 1] - scores[:, 0], np.cumsum([len(one.parts) for _, one in asked])[:-1])
    return float(np.mean([one.decide(some) == one.right for (_, one), some in zip(asked, margins, strict=True)]))


def _yes_no(one: Outcome, rng: np.random.Generator) -> Iterator[Asked]:
    for question, truth in _facts(one, rng)[:2]:
        yield Asked(question.text(), ANSWERS, int(truth), (question,), lambda margins: int(margins[0] > 0))


def _negated(one: Outcome, rng: np.random.Generator) -> Iterator[Asked]:
    for question, truth in _facts(one, rng, NEGATED)[:2]:
        negated = _after_subject(question)
        yield Asked(negated, ANSWERS, int(not truth), (question,), lambda margins: int(margins[0] < 0))


def _both(one: Outcome, rng: np.random.Generator) -> Iterator[Asked]:
    for parts, truths in _pair(one, rng, rare=True):
        text = f"{parts[0].text().removesuffix('?')} and {_lowered(parts[1])}"
        yield Asked(text, ANSWERS, int(all(truths)), parts, lambda margins: int(margins.min() > 0))


def _either(one: Outcome, rng: np.random.Generator) -> Iterator[Asked]:
    for parts, truths in _pair(one, rng, rare=False):
        text = f"{parts[0].text().removesuffix('?')} or {_lowered(parts[1])}"
        yield Asked(text, ANSWERS, int(any(truths)), parts, lambda margins: int(margins.max() > 0))


def _colour(one: Outcome, _: np.random.Generator) -> Iterator[Asked]:
    for shape in SHAPES:
        colours = [name.removesuffix(f" {shape}") for name in sorted(one.state.present) if name.endswith(f" {shape}")]
        if len(colours) == 1:
            parts = tuple(Question("present", f"{colour} {shape}") for colour in COLORS)
            yield _choice(f"What colour is the {shape}?", tuple(COLORS), colours[0], parts)


def _object(one: Outcome, _: np.random.Generator) -> Iterator[Asked]:
    if len(one.state.on_plate) == 1:
        colour = next(iter(one.state.on_plate)).split()[0]
        parts = tuple(Question("on_plate", f"{name} {shape}") for name in COLORS for shape in SHAPES)
        text, options = "What colour is the object on the plate?", tuple(f" {name}" for name in COLORS)
        yield Asked(text, options, COLORS.index(colour), parts, _likeliest_colour)


def _count(one: Outcome, _: np.random.Generator) -> Iterator[Asked]:
    if words := [word for word, number in COUNTS.items() if number == len(one.state.present)]:
        parts = tuple(Question("count", word) for word in COUNTS)
        yield _choice("How many objects are there?", tuple(COUNTS), words[0], parts)


def _where(one: Outcome, rng: np.random.Generator) -> Iterator[Asked]:
    places: dict[str, list[str]] = {}
    for name in sorted(one.state.present):
        for kind in PLACES:
            if answer(Question(kind, name), one.state):
                places.setdefault(kind, []).append(name)
    for kind, names in places.items():  # one of each, or nearly all answers were the table
        name = names[int(rng.integers(len(names)))]
        parts = tuple(Question(other, name) for other in PLACES)
        text = f"Is the {name} on the plate, on the table or in the gripper?"
        yield _choice(text, tuple(PLACES.values()), PLACES[kind], parts)


KINDS: Mapping[str, Callable[[Outcome, np.random.Generator], Iterator[Asked]]] = {
    "yes_no": _yes_no,
    "negated": _negated,
    "both": _both,
    "either": _either,
    "colour": _colour,
    "object": _object,
    "count": _count,
    "where": _where,
}


def _choice(text: str, options: tuple[str, ...], right: str, parts: tuple[Question, ...]) -> Asked:
    spaced = tuple(f" {one}" for one in options)
    return Asked(text, spaced, options.index(right), parts, lambda margins: int(margins.argmax()))


def _likeliest_colour(margins: Margins) -> int:
    return int(margins.reshape(len(COLORS), len(SHAPES)).max(1).argmax())


def _facts(one: Outcome, rng: np.random.Generator, kinds: tuple[str, ...] = ()) -> list[tuple[Question, bool]]:
    """Different state questions, of certain kinds only if any are named; about as many are true as are not."""
    asked = dict(sample_questions(one.state, one.goal, rng, 40))
    return [found for found in asked.items() if found[0].kind != "success" and (not kinds or found[0].kind in kinds)]


def _pair(
    one: Outcome, rng: np.random.Generator, *, rare: bool
) -> Iterator[tuple[tuple[Question, Question], tuple[bool, bool]]]:
    """Two facts; both are `rare` as often as not, so that neither answer to them together is the commoner."""
    truths = (rare, rare)
    if rng.random() < 0.5:
        truths = ((rare, not rare), (not rare, rare), (not rare, not rare))[int(rng.integers(3))]
    facts = _facts(one, rng)
    first = next((question for question, truth in facts if truth == truths[0]), None)
    second = next((question for question, truth in facts if truth == truths[1] and question != first), None)
    if first and second:
        yield (first, second), truths


def _after_subject(question: Question) -> str:
    """The question with "not" behind its subject, in a wording that begins with "Is the"."""
    subject = question.a if question.kind in ("on_plate", "on_table") else "drawer"
    if question.kind == "held":
        return f"Is the {question.a} not in the gripper?"
    plain = Question(question.kind, question.a).text()
    return plain.replace(f"the {subject} ", f"the {subject} not ", 1)


def _lowered(question: Question) -> str:
    text = question.text()
    return text[0].lower() + text[1:]


if __name__ == "__main__":
    main(tyro.cli(Options))
