"""Weights between those before and those after tuning: most of what was learned, with less of the noise and forgetting.

After Wortsman et al., "Robust fine-tuning of zero-shot models" (arXiv 2109.01903).
"""

from __future__ import annotations

from pathlib import Path

import torch

from robo_dialog.errors import ModelError
from robo_dialog.vlm.networks import load_network
from robo_dialog.vlm.processors import load_processor


def average(before: str | Path, after: str | Path, out: Path, share: float) -> None:
    """Write the checkpoint that lies between two of the same architecture.

    Args:
        before, after: directories written by `save_pretrained`, or hub names.
        out: folder of the checkpoint; its processor and precision are those of `after`.
        share: of `before` in the weights, 0 to 1.

    Raises:
        ModelError: one cannot be loaded, or they are not of one architecture.
    """
    old, new = load_network(before), load_network(after)
    theirs, mine = dict(old.named_parameters()), dict(new.named_parameters())  # tied weights stand there once
    if {name: weight.shape for name, weight in theirs.items()} != {name: weight.shape for name, weight in mine.items()}:
        raise ModelError(f"{after}: its weights are not those of {before}; average checkpoints of one architecture")
    with torch.no_grad():
        for name, weight in mine.items():
            weight.copy_(torch.lerp(weight.float(), theirs[name].float(), share))
    new.save_pretrained(out)
    load_processor(after).save_pretrained(out)
