"""Batches for tuning: several conversations about the same images share one row, so that the images are encoded once.

A row is a prefix (the images) followed by segments. Each segment sees the prefix and itself, never its neighbours, and
its positions go on from the prefix: exactly what the model would compute for each conversation alone. Models for which
that does not hold (found out by comparing) get one conversation a row; its prompt is encoded exactly as it is when the
model is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from robo_dialog.errors import ModelError
from robo_dialog.tune.examples import Talk
from robo_dialog.tune.masking import Spoken, spoken
from robo_dialog.vlm.chat import Chat
from robo_dialog.vlm.protocol import Image

IGNORED = -100
PREFIX, PADDING = 0, -1
"""Segment numbers of prefix tokens and of padding; segments count from 1."""
_REMEMBERED = 1 << 16


@dataclass(frozen=True)
class Item:
    """Decoded images and the conversations about them that one step learns."""

    images: tuple[Image, ...]
    talks: tuple[Talk, ...]


class Collator:
    """Turns items into what the model's `forward` takes, and `labels` and `weights` (R, S) of the tokens to learn.

    Args:
        chat: of the model.
        packed: whether conversations share rows.
        longest: tokens of a row beyond which it is refused.
    """

    def __init__(self, chat: Chat, *, packed: bool, longest: int = 8192) -> None:
        self.packed = packed
        self._chat = chat
        self._longest = longest
        self._spoken = lru_cache(maxsize=_REMEMBERED)(lambda talk, images: spoken(chat, talk, images))

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """One row an item, or one a conversation; padded on the right."""
        rows = items if self.packed else [Item(item.images, (talk,)) for item in items for talk in item.talks]
        said = [[self._spoken(talk, len(row.images)) for talk in row.talks] for row in rows]
        begun = [talks[0].prefix if self.packed else talks[0].prefix + talks[0].asked for talks in said]
        batch = dict(self._chat.encode(begun, [row.images for row in rows]))
        ids, real = batch.pop("input_ids"), batch.pop("attention_mask").bool()
        lines = [
            _line(line[there].tolist(), [_segment(talk, self.packed) for talk in talks])
            for line, there, talks in zip(ids, real, said, strict=True)
        ]
        length = max(len(line.ids) for line in lines)
        if length > self._longest:
            raise ModelError(
                f"a row of {length} tokens is longer than {self._longest}; lower --questions or candidates"
            )
        segments = _padded([line.segments for line in lines], length, PADDING)
        plain = {"attention_mask": (segments != PADDING).long()}
        for name in [name for name in batch if name.endswith("token_type_ids")]:
            fill = self._chat.said_type if name == "token_type_ids" else 0
            begun_types = [types[there].tolist() for types, there in zip(batch[name], real, strict=True)]
            plain[name] = _padded(begun_types, length, fill)
        positions = _padded([line.positions for line in lines], length, 0)
        seen = {"attention_mask": visible(segments), "position_ids": positions} if self.packed else {}
        return {
            **batch,
            **plain,
            **seen,
            "input_ids": _padded([line.ids for line in lines], length, self._chat.tokenizer.pad_token_id or 0),
            "labels": _padded([line.labels for line in lines], length, IGNORED),
            "weights": _padded([line.weights for line in lines], length, 0.0),
        }

    def with_packing(self, packed: bool) -> Collator:
        """The same with or without packing."""
        return Collator(self._chat, packed=packed, longest=self._longest)


def visible(segments: torch.Tensor) -> torch.Tensor:
    """Which positions each position sees (R, 1, S, S) of bool: earlier ones of the prefix and of its own segment."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = segments[:, :, None] == segments[:, None, :]
    return (causal & (same | (segments == PREFIX)[:, None, :]))[:, None]


@dataclass(frozen=True)
class _Line:
    """One row: tokens, the token that each position is to predict, its weight, positions and segment numbers."""

    ids: list[int]
    labels: list[int]
    weights: list[float]
    positions: list[int]
    segments: list[int]


def _segment(talk: Spoken, packed: bool) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Tokens behind what the row begins with, and their weights."""
    if packed:
        return talk.asked_ids + talk.ids, (0.0,) * len(talk.asked_ids) + talk.weights
    return talk.ids, talk.weights


def _line(begun: list[int], segments: Sequence[tuple[tuple[int, ...], tuple[float, ...]]]) -> _Line:
    """A segment's first token is never learned unless it is the only one: what comes before it is another's."""
    start = len(begun)
    ids, weights = list(begun), [0.0] * start
    positions, numbers = list(range(start)), [PREFIX] * start
    for number, (said, how_much) in enumerate(segments, start=1):
        ids += said
        weights += how_much
        positions += range(start, start + len(said))
        numbers += [number] * len(said)
    following = [*weights[1:], 0.0]
    labels = [token if weight > 0 else IGNORED for token, weight in zip([*ids[1:], 0], following, strict=True)]
    return _Line(ids, labels, following, positions, numbers)


def _padded(rows: Sequence[Sequence[float]], length: int, fill: float) -> torch.Tensor:
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
