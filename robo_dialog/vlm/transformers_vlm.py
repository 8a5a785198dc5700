"""Any `AutoModelForImageTextToText` of transformers as a `VLM`. No remote code, safetensors only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from transformers import AutoModelForImageTextToText, AutoProcessor

from robo_dialog.detect.preprocess import resize_rgb
from robo_dialog.errors import ModelError
from robo_dialog.vlm.protocol import Image, Message, Prompt


class TransformersVLM:
    """A checkpoint directory (or hub name) on one device.

    Args:
        model: directory written by `save_pretrained`, or a hub name.
        device: torch device; "cuda" where there is one, else "cpu", if left out.
        batch: prompts per forward pass.

    Raises:
        ModelError: the checkpoint or its processor cannot be loaded.
    """

    def __init__(self, model: str | Path, *, device: str | None = None, batch: int = 64) -> None:
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._batch = batch
        try:
            self._processor: Any = AutoProcessor.from_pretrained(model, trust_remote_code=False)
            self._model: Any = AutoModelForImageTextToText.from_pretrained(
                model, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(f"{model}: cannot be loaded as an image-text-to-text model: {error}") from error
        self._model.eval().to(self._device)
        self._processor.tokenizer.padding_side = "left"

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `VLM.score`. Every option must begin with a token of its own.

        Raises:
            ModelError: two options begin with the same token, so that one forward pass cannot tell them apart.
        """
        first = self._first_tokens(options)
        scores = []
        for inputs in self._inputs(prompts):
            with torch.inference_mode():
                logits = self._model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
            scores.append(logits[:, first].double().log_softmax(-1).cpu().numpy())
        return np.concatenate(scores) if scores else np.zeros((0, len(options)))

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`. Control tokens, the image token among them, are never sampled."""
        tokenizer = self._processor.tokenizer
        banned = [i for i in tokenizer.all_special_ids if i != tokenizer.eos_token_id]
        texts: list[str] = []
        for number, inputs in enumerate(self._inputs(prompts)):
            torch.manual_seed(seed + number)
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {}
            with torch.inference_mode():
                tokens = self._model.generate(**inputs, max_new_tokens=max_tokens, suppress_tokens=banned, **sampling)
            new = tokens[:, inputs["input_ids"].shape[1] :]
            texts += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
        return texts

    def _first_tokens(self, options: Sequence[str]) -> list[int]:
        first = [self._processor.tokenizer(option, add_special_tokens=False)["input_ids"][0] for option in options]
        if len(set(first)) < len(first):
            raise ModelError(f"options {list(options)} do not begin with different tokens in this model's vocabulary")
        return first

    def _inputs(self, prompts: Sequence[Prompt]) -> Iterator[Any]:
        """Batches as the model takes them, one at a time in memory."""
        for start in range(0, len(prompts), self._batch):
            yield self._encode(prompts[start : start + self._batch])

    def _encode(self, prompts: Sequence[Prompt]) -> Any:  # noqa: ANN401 - a BatchFeature, untyped in transformers
        texts = [
            self._processor.apply_chat_template([_as_chat(m) for m in prompt], add_generation_prompt=True)
            for prompt in prompts
        ]
        images = [[self._picture(image) for message in prompt for image in message.images] for prompt in prompts]
        encoded = self._processor(text=texts, images=images, return_tensors="pt", padding=True)
        return encoded.to(self._device)

    def _picture(self, image: Image) -> PILImage.Image:
        """Square as the served detector makes it, for models that see one fixed square; else as it is."""
        processor = self._processor.image_processor
        if getattr(processor, "do_image_splitting", True) is False:
            image = resize_rgb(image, processor.size["longest_edge"])
        return PILImage.fromarray(image)


def _as_chat(message: Message) -> dict[str, Any]:
    pictures: list[dict[str, str]] = [{"type": "image"} for _ in message.images]
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}
