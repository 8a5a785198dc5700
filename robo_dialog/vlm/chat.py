"""A processor of transformers as everything here talks to it: chats become text, text and images become inputs.

Playing, tuning and exporting go through this one place, so that a model is asked, taught and served the same way.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from os.path import commonprefix
from typing import Any

from PIL import Image as PILImage

from robo_dialog.detect.preprocess import resize_rgb
from robo_dialog.errors import ModelError
from robo_dialog.vlm.protocol import Image

Turn = tuple[str, int, str]
"""Role, number of images (shown before the text), text."""

_PLAIN = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ 'IMAGE' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token + '\n' }}{% endif %}{% endfor %}"
)
"""For checkpoints without a chat template (PaliGemma): images, question, answer."""


class Chat:
    """The processor of one model.

    Args:
        processor: as `load_processor` gives it; one without a chat template gets a plain one.
    """

    def __init__(self, processor: Any) -> None:  # noqa: ANN401 - of transformers
        self.processor = processor
        self.tokenizer = processor.tokenizer
        if getattr(processor, "chat_template", None) is None and getattr(self.tokenizer, "chat_template", None) is None:
            processor.chat_template = _PLAIN.replace("IMAGE", processor.image_token)

    def render(self, turns: Sequence[Turn], *, ask: bool) -> str:
        """A chat as text, with one mark an image; `ask`: up to where the assistant is to speak."""
        content = [{"role": role, "content": _content(images, text)} for role, images, text in turns]
        text: str = self.processor.apply_chat_template(content, add_generation_prompt=ask)
        return text

    def cut(self, text: str) -> tuple[str, str]:
        """A rendered chat up to and with its last image, and the rest."""
        mark: str = self.processor.image_token
        end = text.rfind(mark) + len(mark) if mark in text else 0
        return text[:end], text[end:]

    def begin(self, words: str) -> str:
        """Words as the model's turn begins with them: some templates put a space before, others do not."""
        words = words.strip()
        asked = (("user", 0, "?"),)
        before, after = self.render(asked, ask=True), self.render((*asked, ("assistant", 0, words)), ask=False)
        said = after.removeprefix(before) if after.startswith(before) else words
        return said[: said.index(words) + len(words)] if words in said else words

    def apart(self, options: Sequence[str]) -> tuple[str, list[int]]:
        """What the model's turn begins with whichever option it is, and the token by which each option goes on.

        Tokenizers that cut numbers from the spaces before them give " 1" and " 2" the same first token.

        Raises:
            ModelError: no one token tells the options apart.
        """
        turns = [self.begin(option) for option in options]
        for lead in ("", commonprefix(turns)):  # noqa: RUF071 - of texts
            following = [self.tokens(turn[len(lead) :])[:1] for turn in turns]
            if len({*map(tuple, following), ()}) == len(options) + 1:
                return lead, [first for (first,) in following]
        raise ModelError(f"options {list(options)} are not told apart by different tokens in this model's vocabulary")

    def tokens(self, text: str) -> list[int]:
        """Tokens of a piece of a chat that has no images."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def encode(self, texts: Sequence[str], images: Sequence[Sequence[Image]]) -> Any:  # noqa: ANN401
        """A BatchFeature (untyped in transformers) of rendered chats with their images, padded to one length."""
        pictures = [[self.picture(image) for image in some] for some in images]
        given: dict[str, Any] = {"images": pictures} if any(pictures) else {}
        if given and self.side is not None:
            given["do_resize"] = False  # done already
        if self.tokenizer.bos_token and texts[0].startswith(self.tokenizer.bos_token):
            given["add_special_tokens"] = False  # the template has written it
        inputs = self.processor(text=list(texts), **given, return_tensors="pt", padding=True)
        inputs.pop("labels", None)
        return inputs

    def picture(self, image: Image) -> PILImage.Image:
        """Square as the served detector makes it, for models that see one fixed square; else as it is."""
        return PILImage.fromarray(image if self.side is None else resize_rgb(image, self.side))

    @cached_property
    def side(self) -> int | None:
        """Side of the square that the model sees, or None if it looks at images of many sizes."""
        images = self.processor.image_processor
        fixed = getattr(images, "do_image_splitting", True) is False
        return int(images.size["longest_edge"]) if fixed else None

    @cached_property
    def said_type(self) -> int:
        """What `token_type_ids` are where the assistant speaks.

        Models that read a whole prompt at once and speak word by word (PaliGemma) tell the two apart by it, and their
        processors take the spoken part as `suffix`; for all others it is the type of text.
        """
        return int("suffix" in inspect.signature(type(self.processor).__call__).parameters)


def _content(images: int, text: str) -> list[dict[str, str]]:
    return [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]
