"""Which model is meant by the options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robo_dialog.errors import ConfigError

if TYPE_CHECKING:
    from robo_dialog.vlm.protocol import VLM


@dataclass(frozen=True)
class ModelChoice:
    """A model on this machine or behind an OpenAI-compatible endpoint."""

    model: str = "tiny"
    """Folder or hub name of a vision-language model; `tiny` is the embedded one."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible endpoint that serves the model, for example http://localhost:8000/v1."""
    device: str | None = None
    """Torch device; by default a GPU where there is one."""
    model_batch: int = 64
    """Prompts per forward pass, or requests at once to an endpoint."""

    def open(self) -> VLM:
        """Load the model.

        Raises:
            ConfigError: options that do not go together.
            ModelError: the model cannot be loaded.
        """
        if self.model_batch < 1:
            raise ConfigError(f"--model-batch {self.model_batch}: give at least 1")
        if self.endpoint is not None:
            from robo_dialog.vlm.openai_vlm import OpenAIVLM

            return OpenAIVLM(self.model, self.endpoint, concurrency=self.model_batch)
        from robo_dialog.models import embedded_model
        from robo_dialog.vlm.transformers_vlm import TransformersVLM

        name: str | Path = embedded_model() if self.model == "tiny" else self.model
        return TransformersVLM(name, device=self.device, batch=self.model_batch)
