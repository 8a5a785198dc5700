"""Any `AutoModelForImageTextToText` of transformers as a `VLM`. No remote code, safetensors only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_dialog.detect.preprocess import resize_rgb
from robo_dialog.errors import ConfigError
from robo_dialog.vlm.chat import Chat, Turn
from robo_dialog.vlm.networks import load_network
from robo_dialog.vlm.pixels import Form, form_of
from robo_dialog.vlm.prefixes import Cut, Encoded, Group, Prefixes, Workspace, batches, joined, same_start, unpacked
from robo_dialog.vlm.processors import load_processor
from robo_dialog.vlm.protocol import Image, Prompt

_RENDERED = 1 << 16
"""Chats that are kept as text, and ends of chats that are kept as tokens."""
_PREFIX_BYTES = 1 << 29
"""Memory for beginnings of prompts with one image, and as much for those with several."""
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
        ConfigError: torch knows no such device, or cannot use it here.
        ModelError: the checkpoint or its processor cannot be loaded.
    """

    def __init__(self, model: str | Path, *, device: str | None = None, batch: int = 64) -> None:
        self._name = str(model)
        self._device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._batch = batch
        self._chat = Chat(load_processor(model))
        self._model: Any = load_network(model, torch.float32)
        self._model.eval().to(self._device)
        self._chat.tokenizer.padding_side = "left"
        self._cuttable: bool | None = None
        self._forms: dict[tuple[str, int], Form | None] = {}
        self._single, self._several = Prefixes(_PREFIX_BYTES), Prefixes(_PREFIX_BYTES)
        self._workspace = Workspace()
        self._rendered = lru_cache(maxsize=_RENDERED)(self._render)
        self._tokens = lru_cache(maxsize=_RENDERED)(self._chat.tokens)

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
        """See `VLM.score`.

        Raises:
            ModelError: no one token tells the options apart.
        """
        lead, first = self._chat.apart(options)
        logits = np.zeros((len(prompts), len(options)))
        with torch.inference_mode():
            for rows, found in self._next_tokens(prompts, lead):
                logits[rows] = found[:, first].double().log_softmax(-1).cpu().numpy()
        return logits

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`. Control tokens, the image token among them, are never sampled."""
        texts = [""] * len(prompts)
        tokenizer = self._chat.tokenizer
        banned = [i for i in tokenizer.all_special_ids if i != tokenizer.eos_token_id]
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {}
        with torch.inference_mode(), torch.random.fork_rng(devices=self._cuda_devices()):
            for number, (rows, inputs) in enumerate(self._prefilled(prompts, max_tokens)):
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
            pictures = [[self._chat.picture(image)] for image in images[start : start + self._batch]]
            seen = self._chat.processor.image_processor(pictures, return_tensors="pt").to(self._device)
            with torch.inference_mode():
                patches = self._model.get_image_features(**seen).last_hidden_state
            flat = patches.reshape(len(pictures), -1, patches.shape[-1]).double()
            # The mean over all places would forget where things are: quarters of the sequence are kept apart.
            parts = [part.mean(1) for part in flat.tensor_split(4, dim=1)]
            vectors.append(torch.nn.functional.normalize(torch.cat(parts, dim=1), dim=-1).cpu().numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, 1))

    def _cuda_devices(self) -> list[torch.device]:
        return [self._device] if self._device.type == "cuda" else []

    def _next_tokens(self, prompts: Sequence[Prompt], lead: str) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Indices of prompts and the logits (R, V) of what comes after `lead`."""
        whole = (self._cut(prompt) for prompt in prompts)
        cuts = [replace(cut, suffix=cut.suffix + lead) for cut in whole]
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
        members = [member for group in batch for member in group.members]
        begun = [prefix for prefix, group in zip(self._begun(batch), batch, strict=True) for _ in group.members]
        for places, output in self._after(begun, [self._tokens(cuts[member].suffix) for member in members]):
            yield [members[place] for place in places], output.logits[:, -1]

    def _after(self, begun: Sequence[Encoded], suffixes: Sequence[list[int]]) -> Iterator[tuple[list[int], Any]]:
        """Indices of suffixes of one length, and what the model makes of them (an untyped ModelOutput)."""
        by_length: dict[int, list[int]] = {}
        for place, suffix in enumerate(suffixes):
            by_length.setdefault(len(suffix), []).append(place)
        for length, alike in by_length.items():
            for start in range(0, len(alike), _SUFFIXES * self._batch):
                some = alike[start : start + _SUFFIXES * self._batch]
                ids = torch.tensor([suffixes[place] for place in some], device=self._device)
                past = joined([begun[place] for place in some], self._workspace, room=length)
                yield some, self._model(input_ids=ids, past_key_values=past, logits_to_keep=1)

    def _begun(self, batch: Sequence[Group]) -> list[Encoded]:
        """The prefixes of a batch through the model, those that are not remembered."""
        store = self._single if len(batch[0].first.images) == 1 else self._several
        known = {group.first.start: store.get(group.first.start) for group in batch}
        new = [group.first for group in batch if known[group.first.start] is None]
        if new:
            inputs = self._encode_alike(new)
            cache = self._model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
            rows = unpacked([cut.images for cut in new], inputs["input_ids"], cache)
            for cut, encoded in zip(new, rows, strict=True):
                store.add(cut.start, encoded)
                known[cut.start] = encoded
        return [found for group in batch if (found := known[group.first.start]) is not None]

    def _can_cut(self, cut: Cut) -> bool:
        """Whether a prompt in two pieces gives what the whole one gives; found out once, with images.

        Between the pieces the model sees an image of another shape: some keep more of a prompt than its cache, and
        would go on from the last one that they saw.
        """
        if not cut.images:
            return False
        if self._cuttable is None:
            whole = self._whole([cut]).log_softmax(-1)
            group = Group(cut, (0,))
            try:
                self._begun([group])
                self._whole([replace(cut, images=tuple(image[::2] for image in cut.images))])
                (_, pieces), *_ = self._continued([group], [cut])
                self._cuttable = bool((whole - pieces.log_softmax(-1)).abs().max() < _SAME)
            except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
                self._cuttable = False
        return self._cuttable

    def _prefilled(self, prompts: Sequence[Prompt], room: int) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Indices of prompts and what `generate` takes to continue them by `room` tokens."""
        cuts = [self._cut(prompt) for prompt in prompts]
        for batch in batches(same_start(cuts), self._batch):
            members = [member for group in batch for member in group.members]
            if self._can_cut(batch[0].first):
                yield members, self._halfway(batch, cuts, room)
            else:
                some = [cuts[member] for member in members]
                yield members, dict(self._encode([_text(cut) for cut in some], [cut.images for cut in some]))

    def _halfway(self, batch: Sequence[Group], cuts: Sequence[Cut], room: int) -> dict[str, Any]:
        """Prompts that are done up to their last token, padded on the left; equal ones are read once."""
        pairs = zip(self._begun(batch), batch, strict=True)
        asked = [(prefix, cuts[member]) for prefix, group in pairs for member in group.members]
        first = {(cut.start, cut.suffix): (prefix, cut) for prefix, cut in asked}
        place = {key: number for number, key in enumerate(first)}
        rows = [place[cut.start, cut.suffix] for _, cut in asked]
        suffixes = [self._tokens(cut.suffix) for _, cut in first.values()]
        read = self._read([prefix for prefix, _ in first.values()], [suffix[:-1] for suffix in suffixes])
        longest = max(len(encoded.ids) for encoded in read)
        gaps = [longest - len(read[row].ids) for row in rows]
        pad = self._chat.tokenizer.pad_token_id
        lines = [[pad] * gap + read[row].ids.tolist() + suffixes[row][-1:] for gap, row in zip(gaps, rows, strict=True)]
        seen = [[0] * gap + [1] * (longest + 1 - gap) for gap in gaps]
        return {
            "input_ids": torch.tensor(lines, device=self._device),
            "attention_mask": torch.tensor(seen, device=self._device),
            "past_key_values": joined([read[row] for row in rows], self._workspace, room=room),
        }

    def _read(self, begun: Sequence[Encoded], more: Sequence[list[int]]) -> list[Encoded]:
        """Beginnings of prompts made longer by more tokens."""
        read = list(begun)
        for places, output in self._after(begun, more):
            ids = [torch.cat([begun[place].ids, begun[place].ids.new_tensor(more[place])]) for place in places]
            images = [begun[place].images for place in places]
            for place, encoded in zip(places, unpacked(images, ids, output.past_key_values), strict=True):
                read[place] = encoded
        return read

    def _cut(self, prompt: Prompt) -> Cut:
        """Rendering a chat is slow, and the same words come back with other images all the time."""
        prefix, suffix = self._rendered(tuple((m.role, len(m.images), m.text) for m in prompt))
        return Cut(prefix, suffix, tuple(image for message in prompt for image in message.images))

    def _render(self, turns: tuple[Turn, ...]) -> tuple[str, str]:
        return self._chat.cut(self._chat.render(turns, ask=True))

    def _encode(self, texts: Sequence[str], images: Sequence[tuple[Image, ...]]) -> Any:  # noqa: ANN401
        """Inputs of prompts, padded on the left, on the model's device."""
        return self._chat.encode(texts, images).to(self._device)

    def _encode_alike(self, cuts: Sequence[Cut]) -> Any:  # noqa: ANN401
        """The prefixes of cuts of one shape; on a model that sees one fixed square, by the form of the first."""
        texts, images = [cut.prefix for cut in cuts], [cut.images for cut in cuts]
        if self._chat.side is None:
            return self._encode(texts, images)
        squares = [[resize_rgb(image, self._chat.side) for image in some] for some in images]
        key = (texts[0], len(images[0]))
        if key not in self._forms:
            first = self._encode(texts[:1], images[:1])
            self._forms[key] = form_of(first, squares[0], self._chat.processor.image_processor)
        form = self._forms[key]
        return self._encode(texts, images) if form is None else form.fill(squares)


def _usable(name: str) -> torch.device:
    """A device, tried."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name}: cannot be used here ({reason}); leave it out, or give cpu") from error


def _text(cut: Cut) -> str:
    return cut.prefix + cut.suffix
