"""Which dialogs are worth learning from. Each filter is a pure function of one dialog that says whether to reject it.

A game that was won by luck, by place or by a trick of pixels teaches the model to do that again; see design of the
dialog game in arXiv 2502.02740, section 3, and the README. A filter never edits a dialog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import Dialog
from robo_dialog.play.words import FUNCTION_WORDS, same_question, words

PIXEL_WORDS = frozenset(
    """background blur blurred blurry bright brighter brightness camera center centre contrast corner cropped dark
    darker edge foreground frame image images left noise noisy photo photograph picture pictures pixel pixels resolution
    right screen shadow shadows view zoomed""".split()  # noqa: SIM905 - a list of words reads better as words
)
"""Words about a picture rather than about what it shows; allowed where the pool's own instructions use them."""
LONGEST_QUESTION = 30
"""Words of a question that the model thought of; one that tests an instruction is as long as the instruction."""
_ENDINGS = ("s", "es", "d", "ed", "ing")


@dataclass(frozen=True)
class Thresholds:
    """How strict the filters are."""

    spread: float = 0.2
    """Least difference of P(yes) between two candidates for a question that tells them apart."""

    def __post_init__(self) -> None:
        """Refuse a threshold that can never or always hold."""
        if not 0 <= self.spread < 1:
            raise ConfigError(f"spread is {self.spread}, expected 0 to below 1")


@dataclass(frozen=True)
class Vocabulary:
    """Words that a question may use besides function words."""

    instructions: frozenset[str]
    """Of the pool's instructions."""
    captions: frozenset[str]
    """Of the base model's own captions of frames of the pool."""

    def strange(self, question: str) -> list[str]:
        """Words of the question that are private, or talk about pixels."""
        known = self.instructions | ((self.captions | FUNCTION_WORDS) - PIXEL_WORDS)
        return [word for word in words(question) if not known & {word, *map(word.removesuffix, _ENDINGS)}]


def aborted(dialog: Dialog) -> bool:
    """The game did not come to its end."""
    return dialog.outcome == "aborted"


def lost(dialog: Dialog) -> bool:
    """The Guesser named another candidate."""
    return dialog.outcome == "lost"


def position_biased(dialog: Dialog) -> bool:
    """Another order of the candidates gives another guess."""
    return dialog.outcome == "won" and any(guess != dialog.target for guess in dialog.guesses)


def lucky(dialog: Dialog) -> bool:
    """The target is found without the answers, too.

    A Guesser that does nothing but weigh answers knows nothing without them: its blanked guess is a throw of dice, and
    says nothing about the game.
    """
    return dialog.guesser == "prompt" and dialog.outcome == "won" and dialog.blank_guess == dialog.target


def uninformative(dialog: Dialog, spread: float) -> bool:
    """A question would be answered alike whichever candidate is the target."""
    return any(
        max(turn.candidate_p_yes) - min(turn.candidate_p_yes) < spread for turn in dialog.turns if turn.candidate_p_yes
    )


def inconsistent(dialog: Dialog) -> bool:
    """An answer does not hold when the target is seen slightly differently, or in the other view."""
    return any((check >= 0.5) != turn.answer for turn in dialog.turns for check in turn.checks)


def duplicate_question(dialog: Dialog) -> bool:
    """A question is put twice."""
    asked = [turn.question for turn in dialog.turns]
    return any(same_question(one, other) for i, one in enumerate(asked) for other in asked[:i])


def degenerate(dialog: Dialog, vocabulary: Vocabulary) -> bool:
    """A question is none, rambles, talks about pixels or uses words that nobody else here uses."""
    return any(
        not turn.question.endswith("?")
        or (turn.source == "sampled" and len(words(turn.question)) > LONGEST_QUESTION)
        or bool(vocabulary.strange(turn.question))
        for turn in dialog.turns
    )


def filters(vocabulary: Vocabulary, thresholds: Thresholds) -> Mapping[str, Callable[[Dialog], bool]]:
    """All filters by the reason that they give, in order."""
    return {
        "aborted": aborted,
        "lost": lost,
        "position_biased": position_biased,
        "lucky": lucky,
        "uninformative": lambda dialog: uninformative(dialog, thresholds.spread),
        "inconsistent": inconsistent,
        "duplicate_question": duplicate_question,
        "degenerate": lambda dialog: degenerate(dialog, vocabulary),
    }


REASONS = tuple(filters(Vocabulary(frozenset(), frozenset()), Thresholds()))
"""In the order of the filters."""


def judged(dialogs: Iterable[Dialog], vocabulary: Vocabulary, thresholds: Thresholds) -> Iterable[Dialog]:
    """The dialogs with every reason that applies; those without one are kept."""
    tests = filters(vocabulary, thresholds)
    for dialog in dialogs:
        yield dialog.judged(tuple(reason for reason, rejects in tests.items() if rejects(dialog)))
