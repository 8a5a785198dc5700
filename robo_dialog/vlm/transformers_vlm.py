"""Any `AutoModelForImageTextToText` of transformers as a `VLM`. No remote code, safetensors only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from transformers import AutoModelForImageTextToText, AutoProcessor

from robo_dialog.detect.preprocess import resize_rgb
from robo_dialog.errors import ModelError
from robo_dialog.vlm.prefixes import Cut, Group, batches, same_prompt, same_start, selected
from robo_dialog.vlm.protocol import Image, Prompt

_RENDERED = 1 << 16
"""Chats that are kept as text."""
_SUFFIXES = 4
"""Suffixes per forward pass, as a multiple of the batch: they are short."""
_SAME = 0.02
"""How far log-probabilities may differ between a whole prompt and one in two pieces."""


class TransformersVLM:
    """A checkpoint directory (or hub name) on one device.

    Prompts that begin with the same images share the work on them; whether the model's tokenizer and cache allow that
    is found out once, by comparing with whole prompts.

    Args:
        model: directory written by `save_pretrained`, or a hub name.
        device: torch device; "cuda" where there is one, else "cpu", if left out.
        batch: prompts, or beginnings of prompts, per forward pass.

    Raises:
        ModelError: the checkpoint or its processor cannot be loaded.
    """

    def __init__(self, model: str | Path, *, device: str | None = None, batch: int = 64) -> None:
        self._name = str(model)
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
        self._cuttable: bool | None = None
        self._rendered = lru_cache(maxsize=_RENDERED)(self._render)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @cached_property
    def identity(self) -> str:
        """Name and first 16 hex digits of the SHA-256 over names and values of all weights."""
        hasher = hashlib.sha256()
        for name, weight in sorted(self._model.state_dict().items()):
            hasher.update(name.encode())
            hasher.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return f"{Path(self._name).name}-{hasher.hexdigest()[:16]}"

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `VLM.score`. Every option must begin with a token of its own.

        Raises:
            ModelError: two options begin with the same token, so that one forward pass cannot tell them apart.
        """
        first = self._first_tokens(options)
        logits = np.zeros((len(prompts), len(options)))
        with torch.inference_mode():
            for rows, found in self._next_tokens(prompts):
                logits[rows] = found[:, first].double().log_softmax(-1).cpu().numpy()
        return logits

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`. Control tokens, the image token among them, are never sampled."""
        texts = [""] * len(prompts)
        tokenizer = self._processor.tokenizer
        banned = [i for i in tokenizer.all_special_ids if i != tokenizer.eos_token_id]
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {}
        with torch.inference_mode(), torch.random.fork_rng(devices=self._cuda_devices()):
            for number, (rows, inputs) in enumerate(self._prefilled(prompts)):
                torch.manual_seed(seed + number)
                tokens = self._model.generate(**inputs, max_new_tokens=max_tokens, suppress_tokens=banned, **sampling)
                new = tokens[:, inputs["input_ids"].shape[1] :]
                for row, text in zip(rows, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
                    texts[row] = text.strip()
        return texts

    def embed(self, images: Sequence[Image]) -> npt.NDArray[np.float64]:
        """Unit vectors (N, D) of images: means of what the vision tower makes of their patches."""
        vectors = []
        for start in range(0, len(images), self._batch):
            pictures = [[self._picture(image)] for image in images[start : start + self._batch]]
            seen = self._processor.image_processor(pictures, return_tensors="pt").to(self._device)
            with torch.inference_mode():
                patches = self._model.get_image_features(**seen).last_hidden_state
            flat = patches.reshape(len(pictures), -1, patches.shape[-1]).double()
            # The mean over all places would forget where things are: quarters of the sequence are kept apart.
            parts = [part.mean(1) for part in flat.tensor_split(4, dim=1)]
            vectors.append(torch.nn.functional.normalize(torch.cat(parts, dim=1), dim=-1).cpu().numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, 1))

    def _cuda_devices(self) -> list[torch.device]:
        return [self._device] if self._device.type == "cuda" else []

    def _first_tokens(self, options: Sequence[str]) -> list[int]:
        first = [self._processor.tokenizer(option, add_special_tokens=False)["input_ids"][0] for option in options]
        if len(set(first)) < len(first):
            raise ModelError(f"options {list(options)} do not begin with different tokens in this model's vocabulary")
        return first

    def _next_tokens(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Indices of prompts and the logits (R, V) of what comes next."""
        cuts = [self._cut(prompt) for prompt in prompts]
        for batch in batches(same_start(cuts), self._batch):
            if self._can_cut(batch[0].first):
                yield from self._continued(batch, cuts)
            else:
                members = [member for group in batch for member in group.members]
                for start in range(0, len(members), self._batch):
                    some = members[start : start + self._batch]
                    yield some, self._whole([cuts[member] for member in some])

    def _whole(self, cuts: Sequence[Cut]) -> torch.Tensor:
        inputs = self._encode([_text(cut) for cut in cuts], [cut.images for cut in cuts])
        logits: torch.Tensor = self._model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
        return logits

    def _continued(self, batch: Sequence[Group], cuts: Sequence[Cut]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Prefixes once each, then all suffixes of one length together."""
        inputs = self._encode([group.first.prefix for group in batch], [group.first.images for group in batch])
        cache = self._model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        pairs = [(row, member) for row, group in enumerate(batch) for member in group.members]
        tokens = self._processor.tokenizer([cuts[member].suffix for _, member in pairs], add_special_tokens=False)
        by_length: dict[int, list[int]] = {}
        for place, ids in enumerate(tokens["input_ids"]):
            by_length.setdefault(len(ids), []).append(place)
        for alike in by_length.values():
            for start in range(0, len(alike), _SUFFIXES * self._batch):
                some = alike[start : start + _SUFFIXES * self._batch]
                rows = torch.tensor([pairs[place][0] for place in some], device=self._device)
                ids = torch.tensor([tokens["input_ids"][place] for place in some], device=self._device)
                output = self._model(input_ids=ids, past_key_values=selected(cache, rows), logits_to_keep=1)
                yield [pairs[place][1] for place in some], output.logits[:, -1]

    def _can_cut(self, cut: Cut) -> bool:
        """Whether a prompt in two pieces gives what the whole one gives; found out once, with images."""
        if not cut.images:
            return False
        if self._cuttable is None:
            whole = self._whole([cut]).log_softmax(-1)
            try:
                (_, pieces), *_ = self._continued([Group(cut, (0,))], [cut])
                self._cuttable = bool((whole - pieces.log_softmax(-1)).abs().max() < _SAME)
            except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
                self._cuttable = False
        return self._cuttable

    def _prefilled(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Indices of prompts and what `generate` takes to continue them; equal prompts are encoded once."""
        cuts = [self._cut(prompt) for prompt in prompts]
        for batch in batches(same_prompt(cuts), self._batch):
            members = [member for group in batch for member in group.members]
            if not self._can_cut(batch[0].first):
                yield members, dict(self._encode([_text(cuts[m]) for m in members], [cuts[m].images for m in members]))
                continue
            inputs = self._encode([_text(group.first) for group in batch], [group.first.images for group in batch])
            rows = [row for row, group in enumerate(batch) for _ in group.members]
            yield members, self._prefill(inputs, torch.tensor(rows, device=self._device))

    def _prefill(self, inputs: Any, rows: torch.Tensor) -> dict[str, Any]:  # noqa: ANN401 - a BatchFeature
        """All but the last token of every prompt through the model, then each row as often as `rows` says."""
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        most = {"input_ids": ids[:, :-1], "attention_mask": mask[:, :-1], "position_ids": places[:, :-1]}
        pixels = {name: value for name, value in inputs.items() if name.startswith("pixel")}
        cache = self._model(**most, **pixels, use_cache=True, logits_to_keep=1).past_key_values
        return {"input_ids": ids[rows], "attention_mask": mask[rows], "past_key_values": selected(cache, rows)}

    def _cut(self, prompt: Prompt) -> Cut:
        """Rendering a chat is slow, and the same words come back with other images all the time."""
        prefix, suffix = self._rendered(tuple((m.role, len(m.images), m.text) for m in prompt))
        return Cut(prefix, suffix, tuple(image for message in prompt for image in message.images))

    def _render(self, turns: tuple[tuple[str, int, str], ...]) -> tuple[str, str]:
        text = self._processor.apply_chat_template([_as_chat(*turn) for turn in turns], add_generation_prompt=True)
        mark = self._processor.image_token
        end = text.rfind(mark) + len(mark) if mark in text else 0
        return text[:end], text[end:]

    def _encode(self, texts: Sequence[str], images: Sequence[tuple[Image, ...]]) -> Any:  # noqa: ANN401
        """A BatchFeature (untyped in transformers) of prompts, padded on the left."""
        pictures = [[self._picture(image) for image in some] for some in images]
        given = {"images": pictures} if any(pictures) else {}
        return self._processor(text=list(texts), **given, return_tensors="pt", padding=True).to(self._device)

    def _picture(self, image: Image) -> PILImage.Image:
        """Square as the served detector makes it, for models that see one fixed square; else as it is."""
        processor = self._processor.image_processor
        if getattr(processor, "do_image_splitting", True) is False:
            image = resize_rgb(image, processor.size["longest_edge"])
        return PILImage.fromarray(image)


def _text(cut: Cut) -> str:
    return cut.prefix + cut.suffix


def _as_chat(role: str, images: int, text: str) -> dict[str, Any]:
    pictures: list[dict[str, str]] = [{"type": "image"} for _ in range(images)]
    return {"role": role, "content": [*pictures, {"type": "text", "text": text}]}
