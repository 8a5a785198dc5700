"""Prompts cut after their last image, so that what many of them share is encoded once.

Most prompts of a game are different questions about the same images, and the images are most of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from robo_dialog.vlm.protocol import Image


@dataclass(frozen=True)
class Cut:
    """One prompt as text: `prefix` up to and with the last image, `suffix` the rest."""

    prefix: str
    suffix: str
    images: tuple[Image, ...]

    @property
    def start(self) -> tuple[object, ...]:
        """Equal for prompts with the same prefix and the very same image arrays."""
        return (self.prefix, *(id(image) for image in self.images))

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for prompts whose prefixes are equally long in tokens."""
        return (self.prefix, *(image.shape for image in self.images))


@dataclass(frozen=True)
class Group:
    """Prompts that begin alike: one of them, and the indices of all among the prompts of a call."""

    first: Cut
    members: tuple[int, ...]


def same_start(cuts: Sequence[Cut]) -> list[Group]:
    """Prompts by prefix, in the order in which the prefixes appear."""
    return _grouped(cuts, [cut.start for cut in cuts])


def same_prompt(cuts: Sequence[Cut]) -> list[Group]:
    """Equal prompts together, in the order in which they appear."""
    return _grouped(cuts, [(*cut.start, cut.suffix) for cut in cuts])


def batches(groups: Sequence[Group], size: int) -> Iterator[list[Group]]:
    """Groups of one shape at a time, at most `size` of them."""
    by_shape: dict[tuple[object, ...], list[Group]] = {}
    for group in groups:
        by_shape.setdefault(group.first.shape, []).append(group)
    for alike in by_shape.values():
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def selected(cache: Any, rows: torch.Tensor) -> DynamicCache:  # noqa: ANN401 - a Cache, untyped in transformers
    """A new cache that holds the given rows (R,) of `cache`, repeated where they repeat."""
    chosen = DynamicCache()
    for number, layer in enumerate(cache.layers):
        chosen.update(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), number)
    return chosen


def _grouped(cuts: Sequence[Cut], keys: Sequence[tuple[object, ...]]) -> list[Group]:
    found: dict[tuple[object, ...], list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return [Group(cuts[members[0]], tuple(members)) for members in found.values()]
