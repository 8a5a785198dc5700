"""The ONNX graph in ONNX Runtime: arrays in, margins out; knows neither images nor words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from robo_dialog.detect.graph import SCORER, check_graph
from robo_dialog.errors import BundleError, ModelError

Feed: TypeAlias = Mapping[str, NDArray[np.float32] | NDArray[np.int64]]
"""Arrays by the names of the graph's inputs, for `I` images and `B` prompts of at most `S` tokens: `pixel_values`
[I, 3, size, size], `input_ids` and `attention_mask` [B, S], `image_index` [B], which image each prompt is about."""

INDEX = "image_index"
LARGE_BYTES = 64 << 20
"""A graph of this size keeps several threads busy in one run. Smaller ones are faster one thread each: a third more
answers a second for `tiny` on two cores, and none of them later."""
_INPUTS = {"pixel_values": "tensor(float)", "input_ids": "tensor(int64)", "attention_mask": "tensor(int64)"}
_INDEXED = {**_INPUTS, INDEX: "tensor(int64)"}
"""Graphs of older exports lack the index, and look at an image once for every prompt."""
_OUTPUTS = {"margin": "tensor(float)"}


class Session(Protocol):
    """Runs the graph; may be called from several threads at once."""

    def run(self, feed: Feed) -> NDArray[np.float32]:
        """Margins [B] of a batch.

        Raises:
            ModelError: the graph could not be run.
        """
        ...

    def close(self) -> None:
        """Free what the graph holds; nothing is run any more."""
        ...


class OpenSession(Protocol):
    """Makes a session of a graph; `OnnxSession` is one."""

    def __call__(self, graph: bytes, *, threads: int, image_size: int) -> Session:
        """Open `graph`.

        Raises:
            BundleError: it is no graph that may be run, or takes other inputs.
        """
        ...


class OnnxSession:
    """The graph in this process."""

    def __init__(self, graph: bytes, *, threads: int, image_size: int) -> None:
        """Check and load a graph that takes images of this size in pixels.

        Raises:
            BundleError: it is no graph that may be run, or takes other inputs.
        """
        check_graph(graph)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # spinning workers would take the cores that decode the next images
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=_providers())
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise BundleError(f"{SCORER}: ONNX Runtime cannot load it; export the bundle again") from error
        self._check(image_size)

    def run(self, feed: Feed) -> NDArray[np.float32]:
        """Margins [B] of a batch; see `Session`."""
        try:
            (margin,) = self._session.run(["margin"], feed if self._has_index else _spread(feed))
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise ModelError("the scorer could not be run; the bundle is broken or memory is short") from error
        return np.asarray(margin, dtype=np.float32)

    def close(self) -> None:
        """Free the graph's memory."""
        del self._session

    def _check(self, image_size: int) -> None:
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = {node.name: node.type for node in self._session.get_outputs()}
        if inputs not in (_INPUTS, _INDEXED) or outputs != _OUTPUTS:
            expected = f"{_INDEXED} and {_OUTPUTS}"
            raise BundleError(f"{SCORER}: has inputs {inputs} and outputs {outputs}, expected {expected}")
        self._has_index = INDEX in inputs
        shape = next(node.shape for node in self._session.get_inputs() if node.name == "pixel_values")
        if shape[1:] != [3, image_size, image_size]:
            raise BundleError(
                f"{SCORER}: takes images {shape[1:]}, preprocess.json says 3 x {image_size} x {image_size}"
            )


def _spread(feed: Feed) -> Feed:
    """The same for a graph that takes one image a prompt."""
    plain = {name: array for name, array in feed.items() if name != INDEX}
    return {**plain, "pixel_values": feed["pixel_values"][feed[INDEX]]}


def available_threads() -> int:
    """Cores that this process may use; ONNX Runtime by itself would count all of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def runs_at_once(graph: Path, cores: int) -> int:
    """How many runs of a graph keep so many cores busiest, each with its share of them as threads."""
    try:
        return 1 if graph.stat().st_size > LARGE_BYTES else cores
    except OSError:
        return 1  # what cannot be looked at is refused when it is loaded


def has_gpu() -> bool:
    """Whether graphs run on a GPU: the package can and the machine has a driver."""
    # without the second test, CUDA's absence would be logged as an error
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidiactl").exists()


def _providers() -> list[tuple[str, dict[str, str]]]:
    cpu: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    # TF32 rounds margins by 1e-3 and more, which the golden samples would refuse
    return [("CUDAExecutionProvider", {"use_tf32": "0"}), *cpu] if has_gpu() else cpu
