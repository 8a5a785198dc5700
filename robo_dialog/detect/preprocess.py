"""From images and an instruction to what the model is fed; the same functions in training and in serving.

An image is squashed to the model's square, not cropped: a robot's gripper at the edge of the view may be what decides.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.document import canonical_json, parse_document
from robo_dialog.detect.image import check_size
from robo_dialog.errors import BundleError, ModelError, RequestError
from robo_dialog.vlm.prompts import normalized, success_question

PREPROCESS = "preprocess.json"
PLACEHOLDER = "{instruction}"
MAX_INSTRUCTION = 512

_KEYS = ("image_size", "max_tokens", "mean", "pad_token", "prompt", "std")


@dataclass(frozen=True)
class Preprocessing:
    """What the model expects; the content of `preprocess.json`."""

    image_size: int
    """Side of the square that the model sees, in pixels."""
    mean: tuple[float, float, float]
    """Subtracted from R, G, B in [0, 1]."""
    std: tuple[float, float, float]
    """Then divides R, G, B."""
    prompt: str
    """The whole text of the prompt, image tokens written out, with `{instruction}` once."""
    pad_token: int
    """Token number that fills up shorter prompts of a batch on the right."""
    max_tokens: int
    """Longest prompt that the model takes, in tokens."""

    def encode(self) -> bytes:
        """The bytes of `preprocess.json`."""
        values: Mapping[str, object] = asdict(self)
        return canonical_json(values)

    def render(self, instruction: str) -> str:
        """The prompt for a checked instruction."""
        return self.prompt.replace(PLACEHOLDER, normalized(instruction))

    def render_question(self, question: str) -> str:
        """The prompt with another question in place of the one about success.

        Raises:
            ModelError: the prompt asks about success in words of its own, so that nobody can tell where they end.
        """
        own = success_question(PLACEHOLDER)
        if own not in self.prompt:
            raise ModelError("the bundle's prompt does not hold the success question as play puts it; export it again")
        return self.prompt.replace(own, question)

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB uint8 [height, width, 3] of any size to the model's float32 [3, image_size, image_size]."""
        scaled = resize_rgb(image, self.image_size).astype(np.float32) / np.float32(255)
        colours = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(colours.transpose(2, 0, 1))


def parse_preprocessing(data: bytes) -> Preprocessing:
    """Read `preprocess.json`.

    Raises:
        BundleError: a key is missing, unknown or out of range.
    """
    document = parse_document(PREPROCESS, data, _KEYS)
    prompt = document.text("prompt", 1 << 17)
    if prompt.count(PLACEHOLDER) != 1:
        raise BundleError(f"{PREPROCESS}: `prompt` must hold {PLACEHOLDER} exactly once; export the bundle again")
    red, green, blue = document.numbers("mean", 3, 0, 1)
    red_std, green_std, blue_std = document.numbers("std", 3, 1e-3, 10)
    return Preprocessing(
        image_size=document.count("image_size", 16, 2048),
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        prompt=prompt,
        pad_token=document.count("pad_token", 0, 1 << 24),
        max_tokens=document.count("max_tokens", 8, 1 << 20),
    )


def resize_rgb(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash an image to a square.

    Shrinking averages areas (no aliasing, and exact for whole factors), enlarging interpolates.

    Args:
        image: uint8 [height, width, 3].
        size: side of the square in pixels.

    Returns:
        uint8 [size, size, 3]; the image itself if it has this size already.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinks = height >= size and width >= size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def check_rgb(image: NDArray[np.uint8], field: str) -> NDArray[np.uint8]:
    """The array itself if it is an RGB image of a size that `decode_rgb` would accept.

    Raises:
        RequestError: other dtype, shape or size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise RequestError(field, "must be a uint8 array [height, width, 3]")
    check_size(image.shape[1], image.shape[0], field)
    return image


def check_instruction(instruction: str, field: str = "instruction") -> str:
    """The instruction itself if a model may be asked about it.

    Raises:
        RequestError: empty, longer than 512 characters, or with control characters or halves of surrogate pairs.
    """
    if not 1 <= len(instruction) <= MAX_INSTRUCTION:
        raise RequestError(field, f"must have 1 to {MAX_INSTRUCTION} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in instruction):
        raise RequestError(field, "must not have control characters or lone surrogates")
    if not normalized(instruction):
        raise RequestError(field, "must say what the robot was told to do")
    return instruction
