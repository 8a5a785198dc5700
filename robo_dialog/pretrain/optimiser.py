"""Muon for the matrices inside the transformer layers, AdamW for everything else, as one optimiser.

Muon needs less than half of the steps that AdamW needs here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

ADAMW_SHARE = 0.7
"""AdamW's rate as a share of Muon's."""
WEIGHT_DECAY = 0.02


class Optimiser:
    """Over named float32 weights; their order is the order of the checkpoint."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = list(weights.values())
        inner = {name for name, weight in weights.items() if ".layers." in name and weight.ndim == 2}
        matrices = [weight for name, weight in weights.items() if name in inner]
        others = [weight for name, weight in weights.items() if name not in inner]
        self._muon = torch.optim.Muon(matrices, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
        self._adamw = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True)

    def step(self, rate: float) -> None:
        """Update all weights by their gradients, clipped to norm 1."""
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for optimiser, share in ((self._muon, 1.0), (self._adamw, ADAMW_SHARE)):
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()  # type: ignore[no-untyped-call]

    def state(self, index: int) -> dict[str, torch.Tensor]:
        """What is remembered of one weight."""
        weight = self.weights[index]
        found = self._adamw.state if weight in self._adamw.state else self._muon.state
        return {kind: value for kind, value in found.get(weight, {}).items() if isinstance(value, torch.Tensor)}

    def remember(self, index: int, state: dict[str, torch.Tensor]) -> None:
        """Take over what an earlier run remembered of one weight."""
        weight = self.weights[index]
        own = any(weight is one for group in self._muon.param_groups for one in group["params"])
        (self._muon if own else self._adamw).state[weight] = state
