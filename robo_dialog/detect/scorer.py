"""The ONNX graph and its tokenizer: pixels and a prompt in, a margin out; knows no calibration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from robo_dialog.detect.graph import SCORER, check_graph
from robo_dialog.detect.preprocess import Preprocessing
from robo_dialog.errors import BundleError, ModelError, RequestError

TOKENIZER = "tokenizer.json"
MAX_BATCH = 32
"""Images in one run of the graph; more would only cost memory, the cores are busy long before."""

_INPUTS = {"pixel_values": "tensor(float)", "input_ids": "tensor(int64)", "attention_mask": "tensor(int64)"}
_OUTPUTS = {"margin": "tensor(float)"}


class Scorer:
    """Margins of images under prompts; its methods may be called from several threads at once."""

    def __init__(self, graph: bytes, tokenizer: bytes, preprocessing: Preprocessing, threads: int) -> None:
        self._preprocessing = preprocessing
        self._tokenizer = _open_tokenizer(tokenizer)
        self._session = _open_session(graph, threads, preprocessing.image_size)
        self._special = frozenset(
            number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special
        )
        self._template_specials = self._count_specials(self._encode("a"))

    def tokens(self, instruction: str, field: str = "instruction") -> tuple[int, ...]:
        """Token numbers of the prompt for a checked instruction.

        Raises:
            RequestError: too long for the model, or the text would be read as one of the model's control tokens.
        """
        tokens = self._encode(instruction)
        if len(tokens) > self._preprocessing.max_tokens:
            raise RequestError(field, "is too long for this model")
        if self._count_specials(tokens) != self._template_specials:
            raise RequestError(field, "must not have the model's control tokens")
        return tokens

    def margins(self, pixels: Sequence[NDArray[np.float32]], tokens: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Logit of "yes" minus logit of "no", one a pair.

        Args:
            pixels: N arrays as `Preprocessing.pixels` gives them.
            tokens: N prompts as `tokens` gives them.

        Raises:
            ModelError: the graph could not be run, or gave NaN or infinity.
        """
        starts = range(0, len(pixels), MAX_BATCH)
        batches = [self._run(pixels[k : k + MAX_BATCH], tokens[k : k + MAX_BATCH]) for k in starts]
        margins = np.concatenate(batches).astype(np.float64) if batches else np.zeros(0)
        if not np.isfinite(margins).all():
            raise ModelError("the scorer returned a value that is not finite; the bundle is broken, export it again")
        return margins

    def _run(self, pixels: Sequence[NDArray[np.float32]], tokens: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        length = max(len(prompt) for prompt in tokens)
        ids = np.full((len(tokens), length), self._preprocessing.pad_token, dtype=np.int64)
        mask = np.zeros((len(tokens), length), dtype=np.int64)
        for row, prompt in enumerate(tokens):
            ids[row, : len(prompt)] = prompt
            mask[row, : len(prompt)] = 1
        feed = {"pixel_values": np.stack(pixels), "input_ids": ids, "attention_mask": mask}
        try:
            (margin,) = self._session.run(["margin"], feed)
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise ModelError("the scorer could not be run; the bundle is broken or memory is short") from error
        if margin.shape != (len(tokens),):
            raise ModelError("the scorer returned another number of margins than images; export the bundle again")
        return np.asarray(margin, dtype=np.float32)

    def _encode(self, instruction: str) -> tuple[int, ...]:
        text = self._preprocessing.render(instruction)
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _count_specials(self, tokens: Sequence[int]) -> int:
        return sum(token in self._special for token in tokens)


def available_threads() -> int:
    """Cores that this process may use; ONNX Runtime by itself would count all of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_tokenizer(data: bytes) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the Rust library raises nothing more special
        raise BundleError(f"{TOKENIZER}: is not a tokenizer; export the bundle again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _open_session(data: bytes, threads: int, image_size: int) -> onnxruntime.InferenceSession:
    check_graph(data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # spinning workers would take the cores that decode the next images
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=_providers())
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        raise BundleError(f"{SCORER}: ONNX Runtime cannot load it; export the bundle again") from error
    inputs = {node.name: node.type for node in session.get_inputs()}
    outputs = {node.name: node.type for node in session.get_outputs()}
    if inputs != _INPUTS or outputs != _OUTPUTS:
        raise BundleError(f"{SCORER}: has inputs {inputs} and outputs {outputs}, expected {_INPUTS} and {_OUTPUTS}")
    shape = next(node.shape for node in session.get_inputs() if node.name == "pixel_values")
    if shape[1:] != [3, image_size, image_size]:
        raise BundleError(f"{SCORER}: takes images {shape[1:]}, preprocess.json says 3 x {image_size} x {image_size}")
    return session


def _providers() -> list[tuple[str, dict[str, str]]]:
    """CUDA where the package has it and the machine a driver; without the second test it would log an error."""
    cpu: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidiactl").exists():
        # TF32 rounds margins by 1e-3 and more, which the golden samples would refuse
        return [("CUDAExecutionProvider", {"use_tf32": "0"}), *cpu]
    return cpu
