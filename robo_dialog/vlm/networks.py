"""Networks of transformers: safetensors only, no remote code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from robo_dialog.errors import ModelError


def load_network(model: str | Path, dtype: torch.dtype | None = None) -> Any:  # noqa: ANN401 - of transformers
    """The network of a checkpoint (folder or hub name), in the precision that it is stored in if none is given.

    Raises:
        ModelError: it cannot be loaded as an image-text-to-text model.
    """
    try:
        return AutoModelForImageTextToText.from_pretrained(
            model, trust_remote_code=False, use_safetensors=True, dtype=dtype or "auto"
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{model}: cannot be loaded as an image-text-to-text model: {error}") from error
