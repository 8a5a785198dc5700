"""Packing an ONNX graph changes its size and nothing that it computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from robo_dialog.tune.graph_file import pack


def scaled_by(weights: np.ndarray) -> onnx.ModelProto:
    """A graph that multiplies its input by `weights`, with the remarks that exporters leave."""
    shape = list(weights.shape)
    node = helper.make_node("Mul", ["x", "weights"], ["y"], doc_string="File /home/somebody/model.py, line 3")
    graph = helper.make_graph(
        [node],
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    node = graph.node[0]
    node.metadata_props.add(key="stack_trace", value="File /home/somebody/model.py")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.metadata_props.add(key="path", value="/home/somebody")
    return model


def result(data: bytes, weights: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (value,) = session.run(None, {"x": np.ones_like(weights)})
    return value


RANDOM = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
HALF = RANDOM.astype(np.float16).astype(np.float32)
BRAIN = (RANDOM * np.float32(1e20)).view(np.uint32) & np.uint32(0xFFFF0000)


@pytest.mark.parametrize(
    ("weights", "bytes_each"),
    [
        (HALF, 2),
        (BRAIN.view(np.float32), 2),
        (RANDOM, 4),
        (np.where(HALF > 2, np.float32(1e-7), HALF), 4),
        (np.where(HALF > 2, np.float32(np.inf), HALF), 2),
        (np.where(HALF > 2, np.float32(np.nan), HALF), 4),
    ],
    ids=["float16", "bfloat16", "float32", "one too small", "infinite", "nan"],
)
def test_weights_are_narrowed_only_where_that_loses_nothing(weights, bytes_each):
    packed = pack(scaled_by(weights))
    assert len(packed) == pytest.approx(bytes_each * weights.size, abs=400)
    assert np.array_equal(result(packed, weights), weights, equal_nan=True)


def test_small_and_whole_number_weights_stay():
    model = scaled_by(np.ones((4, 4), np.float32))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.int64), "places"))
    kinds = [weight.data_type for weight in onnx.load_from_string(pack(model)).graph.initializer]
    assert kinds == [TensorProto.FLOAT, TensorProto.INT64]


def test_no_trace_of_the_exporting_machine_remains():
    assert b"somebody" not in pack(scaled_by(RANDOM))


def test_packing_is_deterministic():
    assert pack(scaled_by(HALF)) == pack(scaled_by(HALF))
