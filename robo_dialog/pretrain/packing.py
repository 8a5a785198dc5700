"""Packs many conversations about the same images into one row, so that every image is encoded once.

A row is a prefix (the images) followed by segments. Every segment sees the prefix and itself, never its neighbours, and
its positions go on from the prefix: exactly what the model would compute for each conversation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from robo_dialog.pretrain.architecture import IMAGE_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, SmolVLMForConditionalGeneration

IGNORED = -100
PREFIX, PADDING = 0, -1
"""Segment numbers of prefix tokens and of padding; segments count from 1."""

_IMAGE = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"


END_WEIGHT = 0.1
"""Weight of the mark that ends a turn: it is learned at once, and would halve what a one-word answer teaches."""


@dataclass(frozen=True)
class Turn:
    """One side's words; the model learns to say those with `weight` > 0."""

    role: str
    text: str
    weight: float = 0.0


@dataclass(frozen=True)
class Row:
    """`images`: rows of the step's image batch; `conversations`: each a list of turns, the first by the user."""

    images: tuple[int, ...]
    conversations: tuple[tuple[Turn, ...], ...]


@dataclass(frozen=True)
class Batch:
    """Rows as tensors (R, S): token ids, targets (next tokens, IGNORED elsewhere), weights, positions, segments.

    `images` (R, I): which image of the step fills the row's i-th image slot.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    images: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


class Packer:
    """Turns rows into tensors with the tokenizer of `tiny`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._pad = int(tokenizer.pad_token_id)
        self._encode = cache(lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))

    def pack(self, rows: Sequence[Row]) -> Batch:
        """Rows of one batch must hold the same number of images."""
        lines = [self._line(row) for row in rows]
        length = max(len(line[0]) for line in lines)
        fills = (self._pad, IGNORED, 0.0, 0, PADDING)
        ids, targets, weights, positions, segments = (
            torch.tensor([line[part] + [fill] * (length - len(line[part])) for line in lines])
            for part, fill in enumerate(fills)
        )
        return Batch(ids, targets, weights, positions, segments, torch.tensor([row.images for row in rows]))

    def _line(self, row: Row) -> tuple[list[int], list[int], list[float], list[int], list[int]]:
        ids = list(self._encode("<|im_start|>User:" + _IMAGE * len(row.images)))
        start = len(ids)
        targets, weights = [IGNORED] * start, [0.0] * start
        positions, segments = list(range(start)), [PREFIX] * start
        for number, turns in enumerate(row.conversations, start=1):
            tokens, wanted, worth = self._conversation(turns)
            ids += tokens
            targets += wanted
            weights += worth
            positions += range(start, start + len(tokens))
            segments += [number] * len(tokens)
        return ids, targets, weights, positions, segments

    def _conversation(self, turns: Sequence[Turn]) -> tuple[list[int], list[int], list[float]]:
        """Tokens, next-token targets and weights; the last token of a turn's header predicts its first word."""
        tokens: list[int] = []
        worth_of: list[float] = []
        for number, turn in enumerate(turns):
            header = "" if number == 0 else f"\n{turn.role}:"
            end_weight = min(turn.weight, END_WEIGHT)
            pieces = ((header, 0.0), (f" {turn.text}", turn.weight), ("<end_of_utterance>", end_weight))
            for text, weight in pieces:
                piece = self._encode(text) if text else ()
                tokens += piece
                worth_of += [weight] * len(piece)
        targets = [*tokens[1:], IGNORED]
        weights = [*worth_of[1:], 0.0]
        return tokens, [t if w > 0 else IGNORED for t, w in zip(targets, weights, strict=True)], weights


def forward(
    model: SmolVLMForConditionalGeneration, features: torch.Tensor, batch: Batch, image_token: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits at the positions that have a target.

    features: (B, IMAGE_TOKENS, D) of the step's images. Returns logits (P, V), targets (P,), weights (P,).
    """
    text = model.model.text_model
    embeddings = text.get_input_embeddings()(batch.ids)
    slots = batch.ids == image_token
    filling = features[batch.images].reshape(-1, features.shape[-1])
    embeddings = embeddings.masked_scatter(slots[..., None], filling.to(embeddings.dtype))
    mask = attention_mask(batch.segments, embeddings.dtype)
    hidden = text(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    asked = batch.targets != IGNORED
    return model.lm_head(hidden[asked]).float(), batch.targets[asked], batch.weights[asked]


def attention_mask(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask (R, 1, S, S): causal, to the prefix and to the own segment only."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    same = segments[:, :, None] == segments[:, None, :]
    visible = causal & (same | (segments == PREFIX)[:, None, :])
    nothing = torch.zeros(visible.shape, dtype=dtype, device=segments.device)
    return nothing.masked_fill(~visible, torch.finfo(dtype).min)[:, None]


def image_features(model: SmolVLMForConditionalGeneration, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Patch states (B, P, W) of the vision tower and language-side features (B, IMAGE_TOKENS, D).

    pixels: (B, 3, H, W), normalised.
    """
    vision = model.model.vision_model
    grid = pixels.shape[-1] // vision.config.patch_size
    everything = torch.ones(len(pixels), grid, grid, dtype=torch.bool, device=pixels.device)
    patches = vision(pixel_values=pixels, patch_attention_mask=everything).last_hidden_state
    return patches, model.model.connector(patches)
