"""What a calibration knows of single instructions and of families of them.

The name of a family has `_` in place of any one word: "put the _ _ on the plate" stands for "Put the red cube on the
plate." and for every other object of two words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from robo_dialog.detect.document import Document
from robo_dialog.play.words import words
from robo_dialog.vlm.prompts import normalized

ANY = "_"
_KEYS = ("camera_weights", "offset")
_OFFSETS = 1e6
WEIGHTS = (1e-6, 1e6)
"""Range of a camera's weight; zero weights could not be divided by."""


@dataclass(frozen=True)
class Task:
    """How margins of one instruction or family are read."""

    offset: float = 0.0
    """Subtracted from the fused margin before the temperature, in logits: where this task's successes begin."""
    camera_weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of cameras in the fusion, > 0; those of the calibration for cameras that are not here."""


def best_name(names: Collection[str], instruction: str) -> str | None:
    """The name that fits an instruction best: its own, else the family with most words of its own, else None."""
    own, said = normalized(instruction), words(instruction)
    if own in names:
        return own
    fitting = [name for name in names if _fits(name.split(), said)]
    return max(fitting, key=lambda name: (-name.split().count(ANY), name), default=None)


def encode_tasks(tasks: Mapping[str, Task]) -> dict[str, object]:
    """Plain values for JSON."""
    return {name: {"camera_weights": dict(one.camera_weights), "offset": one.offset} for name, one in tasks.items()}


def parse_tasks(document: Document, key: str) -> dict[str, Task]:
    """Inverse of `encode_tasks`.

    Raises:
        BundleError: a value is missing, unknown or out of range.
    """
    table = document.section(key, _names(document, key))
    found = {}
    for name in table.values:
        one = table.section(name, _KEYS)
        found[name] = Task(one.number("offset", -_OFFSETS, _OFFSETS), one.table("camera_weights", *WEIGHTS))
    return found


def _names(document: Document, key: str) -> list[str]:
    value = document.values[key]
    return list(value) if isinstance(value, dict) else []


def _fits(family: list[str], said: Sequence[str]) -> bool:
    return len(family) == len(said) and all(name in (ANY, word) for name, word in zip(family, said, strict=True))
