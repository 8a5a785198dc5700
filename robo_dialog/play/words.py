"""What questions and instructions are made of, as far as games need to know: plain functions of texts.

Nothing here knows a domain. Which words name objects is read off the instructions of the pool: within instructions that
begin with the same verb, the words that change are the ones that matter.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from robo_dialog.vlm.prompts import normalized

_COMMON = """
a about above across after again all along also an and another any anything are around as at away back be been before
behind being below beneath beside between both but by can could did do does done down each else empty even ever every
exactly far five for four from full get gets getting goes going got had has have held here hold holding how i if in
inside into is it its itself just least less lies like lying made many more most much near next no none not nothing
now object objects of off on once one only onto open or other out outside over own part properly pull pulled resting
robot same see seen set should shut so some still success successful successfully than that the their them then there
these they thing things this those three through to together told top touching toward towards two under underneath
until up upon visible was were what when where which while who will with within without yes you
"""
FUNCTION_WORDS = frozenset(_COMMON.split())
"""English words that carry no object and no private meaning; a question may always use them."""

_STATES = frozenset({"open", "shut"})
"""States of doors and drawers are content: "open the drawer" is about being open."""
_VERBS = frozenset({"get", "set"})
"""Content, too: what a robot is told to do counts, whichever word says it."""
_SIDES = frozenset({"back", "top"})
"""Content where they tell things apart, as in "the top drawer", and not in "on top of the drawer"."""
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_SLOT = "_"
_SLOTS = re.compile(r"\b_(?: _)*\b")


@lru_cache(maxsize=1 << 14)  # games put the same questions over and over
def words(text: str) -> tuple[str, ...]:
    """Lower-case words in order, without punctuation."""
    return tuple(_WORD.findall(text.lower()))


def same_question(one: str, other: str) -> bool:
    """Whether two questions differ in nothing but case, spaces and punctuation."""
    return words(one) == words(other)


@dataclass(frozen=True)
class Lexicon:
    """The words of a pool's instructions."""

    content: frozenset[str]
    """All but function words."""
    slots: frozenset[str]
    """Those that change between instructions with the same verb: names of objects and places. Never verbs or states:
    "put" and "push", "open" and "shut" ask for different things."""
    acts: frozenset[str]
    """Verbs and states: content that names no thing."""

    def family(self, question: str) -> str:
        """The question with its slots masked: "is the _ _ on the plate". Questions of a family ask alike."""
        return _family(self, question)

    def template(self, text: str) -> str:
        """A text with its slots masked and all else as it is: "Is the _ _ on the plate?"."""
        contents = iter(_contents(text))
        return _WORD.sub(lambda word: _SLOT if next(contents) in self.slots else word[0], text)

    def filled(self, template: str, instruction: str) -> Iterator[str]:
        """The template with the things of an instruction in its slots, in every way that fits."""
        spaces = [len(space.split()) for space in _SLOTS.findall(template)]
        for things in itertools.permutations(self._things(instruction), len(spaces)):
            if [len(thing) for thing in things] == spaces:
                parts = itertools.zip_longest(_SLOTS.split(template), map(" ".join, things), fillvalue="")
                yield "".join(itertools.chain.from_iterable(parts))

    def _things(self, instruction: str) -> list[tuple[str, ...]]:
        """Runs of slot words in an instruction: ("red", "cube")."""
        runs = itertools.groupby(_contents(instruction), key=lambda word: word in self.slots)
        return list(dict.fromkeys(tuple(words) for is_thing, words in runs if is_thing))

    def concerns(self, question: str, instruction: str) -> bool:
        """Whether the question is about what the instruction asks for: it names nothing that the instruction does not.

        A question that names nothing of any instruction concerns no one.
        """
        named = _named(self, question)
        return bool(named) and named <= _named(self, instruction)


def lexicon(instructions: Iterable[str]) -> Lexicon:
    """The lexicon of a pool from its instructions, repeated or not."""
    by_verb: dict[str, set[frozenset[str]]] = {}
    for instruction in instructions:
        text = normalized(instruction)
        if words(text):
            by_verb.setdefault(words(text)[0], set()).add(frozenset(_contents(text)) - {""})
    content = frozenset(word for group in by_verb.values() for one in group for word in one)
    acts = content & (_STATES | _VERBS | by_verb.keys())
    varied = {word for group in by_verb.values() for word in frozenset.union(*group) - frozenset.intersection(*group)}
    return Lexicon(content, frozenset(varied) - acts, acts)


@lru_cache(maxsize=1 << 14)
def _family(known: Lexicon, question: str) -> str:
    found = zip(words(question), _contents(question), strict=True)
    return " ".join(_SLOT if content in known.slots else word for word, content in found)


@lru_cache(maxsize=1 << 14)  # every question meets every instruction of a pool
def _named(known: Lexicon, text: str) -> frozenset[tuple[str, ...]]:
    """Content words, and pairs that stand together: "red cube" is not the cube on something red."""
    found = _contents(text)
    things = known.content - known.acts
    pairs = {pair for pair in itertools.pairwise(found) if things.issuperset(pair)}
    return frozenset({(word,) for word in found if word in known.content} | pairs)


def _contents(text: str) -> list[str]:
    """The words in order, function words replaced by nothing."""
    return [word if _is_content(word, after) else "" for word, after in itertools.pairwise([*words(text), ""])]


def _is_content(word: str, after: str) -> bool:
    if word in _SIDES:
        return bool(after) and after not in FUNCTION_WORDS
    return word not in FUNCTION_WORDS or word in _STATES | _VERBS
