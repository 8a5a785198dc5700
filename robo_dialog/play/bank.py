"""A bank of questions, asked of every outcome before the first game: then games cost next to nothing.

What the model asks about one instruction is asked about the others, too, with their objects in place of its own. A
question of the bank is put to the final frames of all episodes whose instruction it is about, once, and remembered;
games look the answers up.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from robo_dialog.errors import ConfigError
from robo_dialog.play.engine import Engine
from robo_dialog.play.filters import Vocabulary
from robo_dialog.play.judging import Known, attempted, judge, sight_of
from robo_dialog.play.moments import Moment
from robo_dialog.play.proposals import Bank, Proposal, ask_prompt, sampled
from robo_dialog.play.words import Lexicon, same_question
from robo_dialog.vlm.prompts import success_question

GROUPS = 96
"""Groups of frames that the model is asked for questions about."""
TIMES = 4
"""Questions to each group, as a multiple of `questions.samples`."""
FOREIGN = 3
"""Most instructions of others that are tested, with the objects of the own."""
ASKED_AT_ONCE = 128
"""Moments whose answers are found, and written, together."""


def gather(engine: Engine, finals: Sequence[Moment], vocabulary: Vocabulary, size: int) -> Bank:
    """The bank of a pool, from what the model asks about it; label-free.

    Args:
        engine: of the run.
        finals: the outcomes of the pool.
        vocabulary: what questions may be made of; others are left out.
        size: most questions of the model's own by instruction, the more frequent ones first.
    """
    lexicon = engine.offsets.lexicon
    texts = [proposal.question for text in _said(engine, finals) for proposal in sampled([text], [])]
    templates = Counter(lexicon.template(text) for text in texts if not vocabulary.strange(text))
    common = [template for template, _ in templates.most_common()]
    tests = list(dict.fromkeys(lexicon.template(instruction) for instruction in engine.instructions))
    return {
        instruction: (
            Proposal(success_question(instruction), "instruction"),
            *_foreign(lexicon, tests, instruction, engine.instructions),
            *itertools.islice(_own(lexicon, common, instruction), size),
        )
        for instruction in engine.instructions
    }


def answered(
    engine: Engine, moments: Sequence[Moment], bank: Bank, path: Path, on_step: Callable[[int], None]
) -> Known:
    """What the model answers to the bank's questions about all final frames, kept in a file as they come.

    Args:
        engine: of the run.
        moments: of the pool.
        bank: the questions.
        path: a JSON line for each part of the pool; an interrupted pass goes on with the next part.
        on_step: called with the number of moments done.

    Raises:
        ConfigError: the file is damaged.
    """
    finals = [moment for moment in moments if moment.final]
    about = _subjects(engine, finals)
    parts = [finals[start : start + ASKED_AT_ONCE] for start in range(0, len(finals), ASKED_AT_ONCE)]
    lines = _whole_lines(path)
    known = dict(answers_in(path))
    with path.open("ab") as file:
        for number, part in enumerate(parts[len(lines) :], start=len(lines) + 1):
            found = _asked(engine, part, {one.episode_id: _questions(bank, about[one.episode_id]) for one in part})
            file.write(json.dumps([[*key, margin] for key, margin in found.items()]).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            known |= found
            on_step(min(number * ASKED_AT_ONCE, len(finals)))
    return known


def answers_in(path: Path) -> Known:
    """What a file of `answered` holds.

    Raises:
        ConfigError: the file is damaged.
    """
    known: dict[tuple[str, str], float] = {}
    for line in _whole_lines(path):
        known |= _parsed(line, path)
    return known


def _said(engine: Engine, finals: Sequence[Moment]) -> list[str]:
    """What the model asks when it is shown outcomes of one instruction, or of similar ones."""
    rng = np.random.default_rng([engine.dealer.seed, 8])
    size, how = engine.settings.rules.candidates, engine.settings.questions
    deals = [engine.dealer.deal(int(number)) for number in rng.integers(2**31, 2**32, GROUPS)]
    shown = [[moment.frames[deal.guesser_camera] for moment in deal.candidates[:size]] for deal in deals]
    images = engine.images_of([frame for group in shown for frame in group])
    prompts = [
        ask_prompt(tuple(images[frame] for frame in group), deal.candidates[deal.target].instruction, ())
        for group, deal in zip(shown, deals, strict=True)
        for _ in range(TIMES * how.samples)
    ]
    seed = int(rng.integers(2**31))
    texts, _ = attempted(
        lambda: engine.vlm.generate(prompts, seed=seed, temperature=how.temperature, max_tokens=how.max_tokens)
    )
    return texts


def _own(lexicon: Lexicon, templates: Sequence[str], instruction: str) -> Iterator[Proposal]:
    """Questions about the objects of an instruction."""
    for template in templates:
        for question in lexicon.filled(template, instruction):
            if lexicon.concerns(question, instruction):
                yield Proposal(question, "sampled")


def _foreign(lexicon: Lexicon, tests: Sequence[str], own: str, instructions: Sequence[str]) -> Iterator[Proposal]:
    """Tests of other instructions of the pool that are about the same objects."""
    possible = (text for template in tests for text in lexicon.filled(template, own))
    known = (text for text in possible if text in instructions and not same_question(text, own))
    return (Proposal(success_question(text), "hindsight") for text in itertools.islice(known, FOREIGN))


def _subjects(engine: Engine, finals: Sequence[Moment]) -> dict[str, list[str]]:
    """Instructions in whose games an outcome may lie on the table, by episode; its own first."""
    about = {moment.episode_id: [moment.instruction] for moment in finals}
    for instruction in engine.instructions:
        for moment in engine.dealer.strangers(instruction):
            about[moment.episode_id].append(instruction)
    return about


def _questions(bank: Bank, instructions: Sequence[str]) -> list[str]:
    """The bank's questions about some instructions, each once."""
    return list(dict.fromkeys(one.question for instruction in instructions for one in bank[instruction]))


def _asked(
    engine: Engine, moments: Sequence[Moment], questions: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], float]:
    images = engine.images_of([frame for moment in moments for frame in moment.frames.values()])
    pairs = [
        (sight_of(images, frame, moment.instruction), question)
        for moment in moments
        for frame in moment.frames.values()
        for question in questions[moment.episode_id]
    ]
    judgement = judge(engine.vlm, pairs)
    answers = zip(pairs, judgement.margins.tolist(), strict=True)
    return {(sight.name, question): margin for (sight, question), margin in answers if np.isfinite(margin)}


def _whole_lines(path: Path) -> list[bytes]:
    """All lines that were written to their end; what follows is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    return content[:end].splitlines()


def _parsed(line: bytes, path: Path) -> dict[tuple[str, str], float]:
    try:
        return {(str(name), str(question)): float(margin) for name, question, margin in json.loads(line)}
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is damaged ({error!r}); delete it and run the same command again") from error
