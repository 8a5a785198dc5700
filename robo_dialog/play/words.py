"""What questions and instructions are made of, as far as games need to know: plain functions of texts.

Nothing here knows a domain. Which words name objects is read off the instructions of the pool: within instructions that
begin with the same verb, the words that change are the ones that matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from robo_dialog.vlm.prompts import normalized

_COMMON = """
a about above after again all also an and another any anything are as at away back be been before being below beside
both but by can could did do does done each else even ever every exactly far for from full get gets getting goes going
got had has have here how i if in inside into is it its itself just least less lies like lying made many more most much
near next no none not nothing now of off on once one only onto open or other out outside over own part properly resting
robot same see seen set should shut so some still success successful successfully than that the their them then there
these they thing things this those three through to told together top touching toward towards two four five under until
up upon visible was were what when where which while who will with within without yes you
"""
FUNCTION_WORDS = frozenset(_COMMON.split())
"""English words that carry no object and no private meaning; a question may always use them."""

_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_SLOT = "_"


def words(text: str) -> list[str]:
    """Lower-case words in order, without punctuation."""
    return _WORD.findall(text.lower())


def same_question(one: str, other: str) -> bool:
    """Whether two questions differ in nothing but case, spaces and punctuation."""
    return words(one) == words(other)


@dataclass(frozen=True)
class Lexicon:
    """The words of a pool's instructions."""

    content: frozenset[str]
    """All but function words."""
    slots: frozenset[str]
    """Those that change between instructions with the same verb: names of objects and places."""

    def family(self, question: str) -> str:
        """The question with its slots masked: "is the _ _ on the plate". Questions of a family ask alike."""
        return " ".join(_SLOT if word in self.slots else word for word in words(question))

    def concerns(self, question: str, instruction: str) -> bool:
        """Whether the question is about what the instruction asks for: it names nothing that the instruction does not.

        A question that names nothing of any instruction concerns no one.
        """
        named = self._content_of(question)
        return bool(named) and named <= self._content_of(instruction)

    def _content_of(self, text: str) -> set[str]:
        return set(words(text)) & self.content


def lexicon(instructions: Iterable[str]) -> Lexicon:
    """The lexicon of a pool from its instructions, repeated or not."""
    by_verb: dict[str, set[frozenset[str]]] = {}
    for instruction in instructions:
        found = words(normalized(instruction))
        if found:
            by_verb.setdefault(found[0], set()).add(frozenset(found))
    content = {word for group in by_verb.values() for one in group for word in one if word not in _CLOSED}
    slots = {
        word for group in by_verb.values() for word in frozenset.union(*group) - frozenset.intersection(*group)
    } - _CLOSED
    return Lexicon(frozenset(content), frozenset(slots))


_CLOSED = FUNCTION_WORDS - {"open", "shut"}
"""States of doors and drawers are content: "open the drawer" is about being open."""
