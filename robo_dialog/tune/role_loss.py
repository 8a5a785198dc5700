"""What tuning minimises: the loss on a role's own words, for packed conversations and for single ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers import Trainer

from robo_dialog.tune.collate import IGNORED, Collator, Item

SAME = 0.02
"""How far log-probabilities of a packed conversation may be from those of the same one alone."""


class RoleTrainer(Trainer):  # type: ignore[misc]  # untyped in transformers
    """Loss on the role's own words only, each turn weighing the same however many words it has."""

    loss_is_scaled_for_ga = False
    """The loss is a mean over a part of a step, so that the Trainer has to divide it by their number."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:  # noqa: ANN401
        """See `Trainer.compute_loss`."""
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        logits, labels, weights = said(model, inputs, labels, weights)
        losses = F.cross_entropy(logits.float(), labels, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        return (loss, {"loss": loss}) if return_outputs else loss


def said(
    model: Any,  # noqa: ANN401
    inputs: dict[str, Any],
    labels: torch.Tensor,
    weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (P, V), labels (P,) and weights (P,) at the places where something is learned, row by row."""
    mask = inputs["attention_mask"]
    if mask.ndim == 4:
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        least = torch.finfo(dtype).min
        additive = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, least)
        inputs = {**inputs, "attention_mask": additive}
    asked = labels != IGNORED
    columns = torch.nonzero(asked.any(0)).flatten()
    logits = model(**inputs, use_cache=False, logits_to_keep=columns).logits
    here = asked[:, columns]
    return logits[here], labels[:, columns][here], weights[:, columns][here]


def can_pack(model: Any, collator: Collator, items: Sequence[Item]) -> bool:  # noqa: ANN401
    """Whether conversations of one row do not disturb each other in this model; found out on the first fitting item."""
    item = next((item for item in items if len(item.talks) > 1), None)
    if item is None:
        return False
    with torch.no_grad():
        try:
            packed, alone = (_log_probabilities(model, collator.with_packing(how), item) for how in (True, False))
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
            return False
    return packed.shape == alone.shape and bool((packed - alone).abs().max() < SAME)


def _log_probabilities(model: Any, collator: Collator, item: Item) -> torch.Tensor:  # noqa: ANN401
    inputs = {name: value.to(model.device) for name, value in collator([item]).items()}
    labels, weights = inputs.pop("labels"), inputs.pop("weights")
    logits, _, _ = said(model, inputs, labels, weights)
    return logits.float().log_softmax(-1)
