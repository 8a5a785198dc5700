"""A SmolVLM or Idefics3 checkpoint, and its margins by the ordinary way: chat template, processor, eager forward.

This is the reference that an export must reproduce; it shares no code with the serving path.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robo_dialog.detect.preprocess import PLACEHOLDER, Preprocessing
from robo_dialog.errors import ModelError
from robo_dialog.vlm.chat import Chat
from robo_dialog.vlm.processors import load_processor
from robo_dialog.vlm.prompts import ANSWERS, success_question

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EXPORTABLE = ("idefics3", "smolvlm")


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 and evaluation mode, with its processor."""

    folder: Path
    model: PreTrainedModel
    chat: Chat
    no: int
    """Token number of the answer "no"."""
    yes: int
    """Token number of the answer "yes"."""

    @property
    def image_size(self) -> int:
        """Side of the square that the vision tower sees, in pixels."""
        return int(self.model.config.vision_config.image_size)

    def judge(self, images: Sequence[NDArray[np.uint8]], instruction: str) -> tuple[list[float], tuple[int, ...]]:
        """Margins of images under one instruction, and the prompt as the processor encodes it.

        One instruction at a time, so that no prompt is padded and padding cannot hide a mistake.

        Args:
            images: N of RGB uint8 [image_size, image_size, 3].
            instruction: what the robot was told to do.

        Returns:
            N logits of "yes" minus logit of "no", and the token numbers of the prompt.
        """
        inputs = self._process(images, self._text(instruction))
        with torch.no_grad():
            logits = self.model(**inputs, use_cache=False).logits[:, -1]
        return (logits[:, self.yes] - logits[:, self.no]).tolist(), tuple(inputs["input_ids"][0].tolist())

    def preprocessing(self) -> Preprocessing:
        """What serving must do to feed the model the same inputs.

        Raises:
            ModelError: the processor expands an image in a way that plain text cannot repeat.
        """
        tokenizer, images = self.chat.tokenizer, self.chat.processor.image_processor
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        return Preprocessing(
            image_size=self.image_size,
            mean=tuple(images.image_mean),
            std=tuple(images.image_std),
            prompt=self._expanded_prompt(),
            pad_token=int(padding or 0),
            max_tokens=min(int(self.model.config.text_config.max_position_embeddings), tokenizer.model_max_length),
        )

    def tokenizer_json(self) -> bytes:
        """The content of `tokenizer.json`."""
        return str(self.chat.tokenizer.backend_tokenizer.to_str()).encode("utf-8")

    def image_tokens(self) -> int:
        """How many tokens of the prompt stand for the image."""
        config = self.model.config
        return int((config.vision_config.image_size // config.vision_config.patch_size // config.scale_factor) ** 2)

    def _text(self, instruction: str) -> str:
        return self.chat.render((("user", 1, success_question(instruction)),), ask=True)

    def _process(self, images: Sequence[NDArray[np.uint8]], text: str) -> dict[str, torch.Tensor]:
        from PIL import Image

        # one view of the whole image: the detector does not tile
        edge = {"longest_edge": self.image_size}
        return dict(
            self.chat.processor(
                text=[text] * len(images),
                images=[[Image.fromarray(image)] for image in images],
                return_tensors="pt",
                do_image_splitting=False,
                size=edge,
                max_image_size=edge,
            )
        )

    def _expanded_prompt(self) -> str:
        """The prompt's text with the image written out, taken from what the processor made of it."""
        text, tokenizer = self._text(PLACEHOLDER), self.chat.tokenizer
        image = tokenizer.convert_tokens_to_ids(self.chat.processor.image_token)
        short = tokenizer(text)["input_ids"]
        blank = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        long = self._process([blank], text)["input_ids"][0].tolist()
        if short.count(image) != 1 or text.count(self.chat.processor.image_token) != 1:
            raise ModelError(f"{self.folder}: the chat template does not put exactly one image into the prompt")
        at = short.index(image)
        if long[:at] != short[:at] or long[len(long) - len(short) + at + 1 :] != short[at + 1 :]:
            raise ModelError(f"{self.folder}: the processor changes the prompt around the image; it cannot be exported")
        inserted = long[at : len(long) - len(short) + at + 1]
        return text.replace(self.chat.processor.image_token, "".join(tokenizer.convert_ids_to_tokens(inserted)))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint folder (config.json, safetensors, processor, fast tokenizer); nothing is downloaded.

    Raises:
        ModelError: not a checkpoint, of an architecture that cannot be exported, or its tokenizer has no single
            tokens for the two answers.
    """
    _check_architecture(folder)
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    logging.disable_progress_bar()
    chat = Chat(load_processor(folder, local_files_only=True))
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder}: cannot be loaded: {error}") from error
    no, yes = (_single_token(chat, answer, folder) for answer in ANSWERS)
    if no == yes:
        raise ModelError(f"{folder}: its tokenizer gives both answers {ANSWERS} the same token")
    return Checkpoint(folder, model.eval(), chat, no, yes)


def _check_architecture(folder: Path) -> None:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = config["model_type"]
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); --model takes a checkpoint folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: has no `model_type`; --model takes a checkpoint folder of transformers") from error
    if architecture not in EXPORTABLE:
        raise ModelError(
            f"{path}: `model_type` is {architecture!r}, which cannot be exported; a bundle can be made of "
            f"{' and '.join(EXPORTABLE)} checkpoints. Serve this model behind an OpenAI-compatible endpoint (vLLM, "
            f"SGLang), and give its address to `play`, `evaluate` and `calibrate` with --endpoint; or tune one that "
            f"can be exported (the embedded `tiny`, SmolVLM-256M) on dialogs that this model played"
        )


def _single_token(chat: Chat, answer: str, folder: Path) -> int:
    ids = chat.tokens(chat.begin(answer))
    if len(ids) != 1:
        raise ModelError(f"{folder}: its tokenizer needs {len(ids)} tokens for the answer {answer!r}, one is required")
    return ids[0]
