"""Prompts cut after their last image, so that what many of them share is encoded once.

Most prompts of a game are different questions about the same images, and the images are most of the work.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from robo_dialog.vlm.protocol import Image


@dataclass(frozen=True)
class Cut:
    """One prompt as text: `prefix` up to and with the last image, `suffix` the rest."""

    prefix: str
    suffix: str
    images: tuple[Image, ...]

    @cached_property
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
    found: dict[tuple[object, ...], list[int]] = {}
    for index, cut in enumerate(cuts):
        found.setdefault(cut.start, []).append(index)
    return [Group(cuts[members[0]], tuple(members)) for members in found.values()]


def batches(groups: Sequence[Group], size: int) -> Iterator[list[Group]]:
    """Groups of one shape at a time, at most `size` of them."""
    by_shape: dict[tuple[object, ...], list[Group]] = {}
    for group in groups:
        by_shape.setdefault(group.first.shape, []).append(group)
    for alike in by_shape.values():
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


@dataclass(frozen=True)
class Encoded:
    """The beginning of a prompt, with all of its images, that has been through the model.

    ids: (P,) its tokens. states: (2 L, heads, P, D), the keys of every layer, each followed by its values.
    """

    images: tuple[Image, ...]
    """Held so that no other image can get the identity that the prefix is known by."""
    ids: torch.Tensor
    states: torch.Tensor


class Prefixes:
    """Prefixes met last, up to a number of bytes: the same images are asked about turn after turn."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[object, ...], Encoded] = OrderedDict()
        self._bytes = 0

    def get(self, start: tuple[object, ...]) -> Encoded | None:
        """The prefix that begins prompts with this `Cut.start`."""
        found = self._held.get(start)
        if found is not None:
            self._held.move_to_end(start)
        return found

    def add(self, start: tuple[object, ...], encoded: Encoded) -> None:
        """Remember one more, and forget the oldest if that is too much."""
        self._held[start] = encoded
        self._bytes += encoded.states.nbytes
        while self._bytes > self._limit and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1].states.nbytes


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # untyped in transformers
    """Grows into memory that was set aside: a plain layer copies all it holds for every token that is generated.

    Args:
        keys: (N, heads, room, D), of which the first `used` places along the third axis are taken.
        values: like `keys`.
        used: tokens so far.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, used: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self._room = (keys, values)
        self.keys, self.values = (part[:, :, :used] for part in self._room)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind what is there; see `DynamicLayer.update`."""
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        for part, new in zip(self._room, (key_states, value_states), strict=True):
            part[:, :, start:end] = new
        self.keys, self.values = (part[:, :, :end] for part in self._room)
        return self.keys, self.values


def unpacked(images: Sequence[tuple[Image, ...]], ids: Sequence[torch.Tensor], cache: Any) -> list[Encoded]:  # noqa: ANN401
    """The rows of one forward pass (`cache` is an untyped Cache) over beginnings, each with memory of its own.

    Raises:
        RuntimeError: the layers differ in shape, or do not keep all that they saw (sliding windows).
    """
    if any(type(layer) not in (DynamicLayer, RoomyLayer) for layer in cache.layers):
        raise RuntimeError("a cache of layers that forget cannot be cut")
    sides = [side for layer in cache.layers for side in (layer.keys, layer.values)]
    rows = [torch.stack([side[row] for side in sides]) for row in range(len(images))]
    return [Encoded(*parts) for parts in zip(images, ids, rows, strict=True)]


class Workspace:
    """Memory that is used again and again: the page faults of new memory would take longer than filling it."""

    def __init__(self) -> None:
        self._held = torch.empty(0)

    def take(self, like: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """A tensor of this shape, its values not set, good until the next call."""
        count = math.prod(shape)
        if self._held.numel() < count or self._held.dtype != like.dtype or self._held.device != like.device:
            self._held = like.new_empty(count)
        return self._held[:count].view(*shape)


def joined(begun: Sequence[Encoded], workspace: Workspace, *, room: int) -> DynamicCache:
    """A cache with one row each; shorter ones are padded on the left, and `room` more tokens fit in without copying.

    It lies in the workspace, and is good until the next one is made there.
    """
    used = max(len(encoded.ids) for encoded in begun)
    sides, heads, _, width = begun[0].states.shape
    # Places after `used` are written before they are read; zeroing them all would take longer than the copying.
    whole = workspace.take(begun[0].states, (sides, len(begun), heads, used + room, width))
    for row, encoded in enumerate(begun):
        gap = used - len(encoded.ids)
        if gap:
            whole[:, row, :, :gap] = 0
        whole[:, row, :, gap:used] = encoded.states
    cache = DynamicCache()
    cache.layers += [RoomyLayer(whole[side], whole[side + 1], used) for side in range(0, sides, 2)]
    return cache
