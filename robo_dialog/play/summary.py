"""What happened in the games of a run, in numbers, and the signs that self-play has gone wrong."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from robo_dialog.play.dialog import Dialog
from robo_dialog.play.filters import PIXEL_WORDS, REASONS
from robo_dialog.play.words import words

MOST_REPEATED = 0.25
"""Share of the most frequent question from which on games are called repetitive."""
MOST_PIXEL_TALK = 0.05
LEAST_INFORMATION = 0.25
"""Entropy of all answers, in bits, below which answers carry nothing."""


@dataclass(frozen=True)
class Summary:
    """Counts and shares of one run; shares are null where nothing determines them."""

    games: int
    won: int
    aborted: int
    kept: int
    rejected: dict[str, int]
    """By the first reason that applied."""
    lucky_share: float | None
    """Games in which the blanked dialog finds the target, of all that came to their end."""
    expected_lucky_share: float | None
    """What chance alone would give."""
    answer_entropy: float | None
    """Bits of an answer, if all answers are drawn from one urn: 1 where half are "yes"."""
    distinct_1: float | None
    """Different words per word of all questions."""
    distinct_2: float | None
    """Different pairs of neighbouring words per pair."""
    top_question: str | None
    top_question_share: float | None
    pixel_talk_share: float | None
    """Games in which the model thought of a question with a word about pictures that no instruction uses."""
    coverage: float | None
    """Outcomes of the pool that are the target of a kept game."""
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Plain values for JSON."""
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {**rounded, "warnings": list(self.warnings)}


def summarise(dialogs: Sequence[Dialog], outcomes: Collection[str]) -> Summary:
    """Summarise judged dialogs.

    Args:
        dialogs: all of a run, after the filters.
        outcomes: episodes of the pool that can be a target.
    """
    ended = [dialog for dialog in dialogs if dialog.outcome != "aborted"]
    kept = [dialog for dialog in dialogs if dialog.kept]
    questions = [turn.question for dialog in dialogs for turn in dialog.turns]
    said = [words(question) for question in questions]
    pairs = [pair for one in said for pair in itertools.pairwise(one)]
    top = Counter(" ".join(one) + "?" for one in said).most_common(1)
    first_reasons = Counter(dialog.reasons[0] for dialog in dialogs if dialog.reasons)
    figures = Summary(
        games=len(dialogs),
        won=sum(dialog.outcome == "won" for dialog in dialogs),
        aborted=len(dialogs) - len(ended),
        kept=len(kept),
        rejected={reason: first_reasons[reason] for reason in REASONS if first_reasons[reason]},
        lucky_share=_share([dialog.blank_guess == dialog.target for dialog in ended]),
        expected_lucky_share=_mean([1 / len(dialog.candidates) for dialog in ended]),
        answer_entropy=_entropy([turn.answer for dialog in dialogs for turn in dialog.turns]),
        distinct_1=len({word for one in said for word in one}) / sum(map(len, said)) if pairs else None,
        distinct_2=len(set(pairs)) / len(pairs) if pairs else None,
        top_question=top[0][0] if top else None,
        top_question_share=top[0][1] / len(questions) if top else None,
        pixel_talk_share=_share(_pixel_talk(dialogs)),
        coverage=len({d.describer.episode_id for d in kept} & set(outcomes)) / len(outcomes) if outcomes else None,
        warnings=(),
    )
    return Summary(**{**vars(figures), "warnings": _warnings(figures, ended)})


def _warnings(figures: Summary, ended: Sequence[Dialog]) -> tuple[str, ...]:
    """The failure signatures of the paper, in words."""
    found = []
    if (figures.pixel_talk_share or 0) > MOST_PIXEL_TALK:
        found.append(f"pixel talk: {figures.pixel_talk_share:.0%} of the games ask about the picture, not the scene")
    if (figures.top_question_share or 0) > MOST_REPEATED:
        found.append(f"repetition: {figures.top_question_share:.0%} of all questions are {figures.top_question!r}")
    won, chance = figures.won / max(1, len(ended)), figures.expected_lucky_share or 0
    if ended and won > _upper(chance, len(ended)) and (figures.answer_entropy or 0) < LEAST_INFORMATION:
        found.append(f"won without information: {won:.0%} are won although nearly all answers are the same")
    if ended and (figures.lucky_share or 0) > _upper(chance, len(ended)):
        found.append(
            f"targets leak: without answers {figures.lucky_share:.0%} are found, chance gives {chance:.0%}; "
            "the candidates differ by more than what is asked"
        )
    if figures.games and not figures.kept:
        found.append("no game was kept: nothing can be learned from this run")
    return tuple(found)


def _upper(share: float, count: int) -> float:
    """What a share may reach by chance (2.6 standard deviations)."""
    return share + 2.6 * math.sqrt(share * (1 - share) / count)


def _pixel_talk(dialogs: Sequence[Dialog]) -> list[bool]:
    instructions = {word for dialog in dialogs for word in words(dialog.instruction)}
    forbidden = PIXEL_WORDS - instructions
    return [
        any(turn.source == "sampled" and not forbidden.isdisjoint(words(turn.question)) for turn in dialog.turns)
        for dialog in dialogs
    ]


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _entropy(answers: Sequence[bool]) -> float | None:
    share = _share(answers)
    if share is None:
        return None
    return sum(-p * math.log2(p) for p in (share, 1 - share) if p > 0)
