"""What a processor makes of prompts that show images of one size, without asking it again for every image.

A processor spends more time on a small image than the model does. For one that does nothing but scale colours, the
tokens of a prompt are the same whatever its images show, and its pixels are one multiplication. Whether that holds is
found out by comparing with what the processor itself makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robo_dialog.vlm.protocol import Image

PIXELS = "pixel_values"
_SAME = 1e-5


@dataclass(frozen=True)
class Form:
    """A prompt as the processor encodes it, but for its pixels.

    constant: what does not depend on the images, (1, ...). scale, shift: (3,) of each colour, from grey levels to what
    the model sees.
    """

    constant: Mapping[str, torch.Tensor]
    scale: torch.Tensor
    shift: torch.Tensor

    def fill(self, images: Sequence[Sequence[Image]]) -> dict[str, torch.Tensor]:
        """Prompts of this form, each with its own images: N of n images (S, S, 3) uint8."""
        grey = torch.from_numpy(np.stack([np.stack(some) for some in images])).to(self.scale.device)
        pixels = grey.permute(0, 1, 4, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
        pixels = pixels.mul_(self.scale.view(3, 1, 1)).add_(self.shift.view(3, 1, 1))
        repeated = {name: value.repeat_interleave(len(images), 0) for name, value in self.constant.items()}
        return {**repeated, PIXELS: pixels}


def form_of(encoded: Mapping[str, torch.Tensor], images: Sequence[Image], scaling: object) -> Form | None:
    """The form of a prompt from its own encoding; None if the processor does more than scale colours.

    Args:
        encoded: what the processor made of the prompt, (1, ...).
        images: the n images of the prompt, (S, S, 3) uint8.
        scaling: the image processor, whose mean, deviation and factor are tried.
    """
    mean, std, factor = (getattr(scaling, name, None) for name in ("image_mean", "image_std", "rescale_factor"))
    pixels = encoded.get(PIXELS)
    if mean is None or std is None or factor is None or pixels is None:
        return None
    spread = torch.tensor(std, dtype=torch.float32, device=pixels.device)
    shift = -torch.tensor(mean, dtype=torch.float32, device=pixels.device) / spread
    constant = {name: value for name, value in encoded.items() if name != PIXELS}
    found = Form(constant, factor / spread, shift)
    mine = found.fill([images])[PIXELS]
    return found if mine.shape == pixels.shape and bool((mine - pixels).abs().max() < _SAME) else None
