"""Pixels and prompts in, margins out: the tokenizer and the graph together; knows no calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from robo_dialog.detect.preprocess import Preprocessing
from robo_dialog.detect.session import INDEX, OnnxSession, OpenSession
from robo_dialog.errors import BundleError, ModelError, RequestError

TOKENIZER = "tokenizer.json"
MAX_BATCH = 32
"""Images in one run of the graph; more would only cost memory, the cores are busy long before."""
REMEMBERED_PROMPTS = 512


class Scorer:
    """Margins of images under prompts; its methods may be called from several threads at once."""

    def __init__(
        self,
        graph: bytes,
        tokenizer: bytes,
        preprocessing: Preprocessing,
        threads: int,
        open_session: OpenSession = OnnxSession,
    ) -> None:
        self._preprocessing = preprocessing
        self._tokenizer = _open_tokenizer(tokenizer)
        self._session = open_session(graph, threads=threads, image_size=preprocessing.image_size)
        self._remembered = lru_cache(REMEMBERED_PROMPTS)(self._encode_text)  # robots repeat their instructions
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number: str(token.content) for number, token in added.items() if token.special}
        self._template_specials = self._count_specials(self._remembered(preprocessing.render("a")))

    def tokens(self, instruction: str, field: str = "instruction") -> tuple[int, ...]:
        """Token numbers of the prompt for a checked instruction.

        Raises:
            RequestError: too long for the model, or the text would be read as one of the model's control tokens.
        """
        return self._checked(self._preprocessing.render(instruction), field)

    def question_tokens(self, question: str) -> tuple[int, ...]:
        """Token numbers of the prompt with any yes/no question.

        Raises:
            RequestError: as `tokens`.
            ModelError: this model's prompt takes no other question.
        """
        return self._checked(self._preprocessing.render_question(question), "question")

    def question(self, instruction: str) -> str:
        """The prompt for a checked instruction as a person reads it, without the model's control tokens."""
        text = self._preprocessing.render(instruction)
        for token in self._special.values():
            text = text.replace(token, " ")
        return " ".join(text.split())

    def margins(
        self,
        pixels: Sequence[NDArray[np.float32]],
        tokens: Sequence[tuple[int, ...]],
        frames: Sequence[int] | None = None,
    ) -> NDArray[np.float64]:
        """Logit of "yes" minus logit of "no", one a prompt.

        Args:
            pixels: N arrays as `Preprocessing.pixels` gives them.
            tokens: M prompts as `tokens` gives them.
            frames: M indices into `pixels`, telling which image each prompt is about; by default N = M and one each.

        Raises:
            ModelError: the graph could not be run, or gave NaN or infinity.
        """
        about = range(len(pixels)) if frames is None else frames
        batches = []
        for k in range(0, len(tokens), MAX_BATCH):
            part = slice(k, k + MAX_BATCH)
            batches.append(self._run(pixels, tokens[part], about[part]))
        margins = np.concatenate(batches).astype(np.float64) if batches else np.zeros(0)
        if not np.isfinite(margins).all():
            raise ModelError("the scorer returned a value that is not finite; the bundle is broken, export it again")
        return margins

    def close(self) -> None:
        """Free the graph; nothing is judged any more."""
        self._session.close()

    def _run(
        self, pixels: Sequence[NDArray[np.float32]], tokens: Sequence[tuple[int, ...]], about: Sequence[int]
    ) -> NDArray[np.float32]:
        shown = list(dict.fromkeys(about))  # every image once
        place = {image: k for k, image in enumerate(shown)}
        index = np.array([place[image] for image in about], dtype=np.int64)
        images = np.stack([pixels[image] for image in shown])
        margin = self._session.run({"pixel_values": images, **self._prompts(tokens), INDEX: index})
        if margin.shape != (len(tokens),):
            raise ModelError("the scorer returned another number of margins than prompts; export the bundle again")
        return margin

    def _prompts(self, tokens: Sequence[tuple[int, ...]]) -> dict[str, NDArray[np.int64]]:
        length = max(len(prompt) for prompt in tokens)
        ids = np.full((len(tokens), length), self._preprocessing.pad_token, dtype=np.int64)
        mask = np.zeros((len(tokens), length), dtype=np.int64)
        for row, prompt in enumerate(tokens):
            ids[row, : len(prompt)] = prompt
            mask[row, : len(prompt)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _checked(self, prompt: str, field: str) -> tuple[int, ...]:
        tokens = self._remembered(prompt)
        if len(tokens) > self._preprocessing.max_tokens:
            raise RequestError(field, "is too long for this model")
        if self._count_specials(tokens) != self._template_specials:
            raise RequestError(field, "must not have the model's control tokens")
        return tokens

    def _encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _count_specials(self, tokens: Sequence[int]) -> int:
        return sum(token in self._special for token in tokens)


def _open_tokenizer(data: bytes) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the Rust library raises nothing more special
        raise BundleError(f"{TOKENIZER}: is not a tokenizer; export the bundle again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
