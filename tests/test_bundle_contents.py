"""Files whose hashes are right and whose content is not: everything in a bundle is checked before it is used."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import bundles
from robo_dialog.detect import Detector
from robo_dialog.detect.calibration import Calibration, parse_calibration
from robo_dialog.detect.golden import Golden, parse_golden
from robo_dialog.detect.graph import check_graph
from robo_dialog.detect.preprocess import parse_preprocessing
from robo_dialog.errors import BundleError


def edited(data: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(data) | changes).encode()


def archive(**arrays: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, data in arrays.items():
            writer.writestr(f"{name}.npy", data)
    return packed.getvalue()


def npy(array: np.ndarray, *, objects: bool = False) -> bytes:
    plain = io.BytesIO()
    np.lib.format.write_array(plain, array, allow_pickle=objects)
    return plain.getvalue()


def test_calibration_survives_the_file():
    calibration = Calibration(
        temperatures={1: 1.3, 2: 1.1, 10: 0.9},
        bias=-0.2,
        threshold=0.4,
        task_thresholds={"lift it": 0.7},
        abstention_band=(-0.1, 0.2),
        camera_weights={"wrist": 0.5},
        method="by hand",
    )
    assert parse_calibration(calibration.encode()) == calibration


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 1.5),
        ("threshold", "0.5"),
        ("threshold", True),
        ("bias", float("nan")),
        ("bias", float("inf")),
        ("abstention_band", [0.1, 0.2]),
        ("abstention_band", [-0.1]),
        ("temperatures", {"2": 1.0}),
        ("temperatures", {"1": 0.0}),
        ("temperatures", {"1": 1.0, "two": 1.0}),
        ("temperatures", {"1": 1.0, "17": 1.0}),
        ("camera_weights", {"wrist": 0}),
        ("camera_weights", ["wrist"]),
        ("task_thresholds", {"lift it": -0.1}),
        ("method", 3),
        ("unheard_of", 1),
    ],
)
def test_a_senseless_calibration_is_refused_by_file_and_key(key, value):
    with pytest.raises(BundleError, match=r"^calibration\.json: "):
        parse_calibration(edited(Calibration().encode(), **{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_size", 0),
        ("image_size", 96.5),
        ("std", [0.5, 0.5, 0]),
        ("mean", [0.5, 0.5]),
        ("prompt", "no place for the words"),
        ("prompt", "{instruction} {instruction}"),
        ("max_tokens", 0),
        ("pad_token", -1),
    ],
)
def test_senseless_preprocessing_is_refused_by_file_and_key(key, value):
    with pytest.raises(BundleError, match=rf"^preprocess\.json: `{key}`"):
        parse_preprocessing(edited(bundles.PREPROCESSING.encode(), **{key: value}))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"\xff", b'{"method": "\\ud800"}', b"[" * 100_000],
    ids=["empty", "list", "bytes", "half", "deep"],
)
def test_what_is_not_a_json_object_is_refused(data):
    with pytest.raises(BundleError, match=r"^calibration\.json: "):
        parse_calibration(data)


def test_golden_samples_survive_the_file():
    golden = parse_golden(bundles.contents()["golden.npz"])
    assert golden.images.shape == (4, bundles.SIZE, bundles.SIZE, 3)
    assert golden.instructions == ("lift it",) * 4
    assert golden.encode() == bundles.contents()["golden.npz"]


IMAGES, TEXTS, MARGINS = npy(np.zeros((1, 4, 4, 3), np.uint8)), npy(np.array(["x"])), npy(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"not a zip",
        archive(images=IMAGES, instructions=TEXTS),
        archive(images=IMAGES, instructions=TEXTS, margins=MARGINS, more=MARGINS),
        archive(images=IMAGES, instructions=npy(np.array([{"x": 1}], dtype=object), objects=True), margins=MARGINS),
        archive(images=npy(np.zeros(70_000_000, np.uint8)), instructions=TEXTS, margins=MARGINS),
        archive(images=IMAGES.replace(b"(1, 4, 4, 3)", b"(1, 9999999)"), instructions=TEXTS, margins=MARGINS),
        archive(images=MARGINS, instructions=TEXTS, margins=MARGINS),
        archive(images=IMAGES, instructions=TEXTS, margins=npy(np.zeros(2, np.float32))),
        archive(images=IMAGES[:-8], instructions=TEXTS, margins=MARGINS),
    ],
    ids=["garbage", "short", "extra", "pickle", "bomb", "claim", "type", "count", "truncated"],
)
def test_golden_samples_that_no_export_writes_are_refused(data):
    with pytest.raises(BundleError, match=r"^golden\.npz: "):
        parse_golden(data)


def test_a_scorer_that_no_longer_gives_its_golden_margins_is_refused(tmp_path):
    golden = parse_golden(bundles.contents()["golden.npz"])
    off = replace(golden, margins=golden.margins + np.float32(0.002))
    with pytest.raises(BundleError, match=r"bundle/golden\.npz: the scorer is off by 0\.002"):
        Detector.load(bundles.write(tmp_path / "bundle", golden_npz=off.encode()))


def test_a_scorer_that_gives_no_number_is_refused(tmp_path):
    dark = Golden(np.stack([bundles.grey(0)]), ("lift it",), np.zeros(1, np.float32))
    path = bundles.write(tmp_path / "bundle", golden_npz=dark.encode(), scorer_onnx=bundles.graph(logarithm=True))
    with pytest.raises(BundleError, match=r"golden\.npz: its samples cannot be judged"):
        Detector.load(path)


def graph_with(change) -> bytes:
    model = onnx.load_from_string(bundles.graph())
    change(model)
    return model.SerializeToString()


def put_weights_outside(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("int64_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def put_weights_of_a_node_outside(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.zeros(1, np.float32))
    value.external_data.add(key="location", value="../secret")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=value))


def define_a_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("local", "Own", ["x"], ["y"], [], [helper.make_opsetid("", 20)]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bundles.graph(domain="evil.ops"), "operators of the domain 'evil.ops'"),
        (graph_with(put_weights_outside), "weights outside the file"),
        (graph_with(put_weights_of_a_node_outside), "weights outside the file"),
        (graph_with(define_a_function), "local functions"),
        (b"\xff" * 40, "is not an ONNX model"),
        (bundles.graph()[:-5], "is not an ONNX model"),
    ],
    ids=["domain", "weights", "constant", "function", "garbage", "truncated"],
)
def test_a_graph_that_reaches_beyond_itself_is_refused_before_it_is_loaded(tmp_path, data, reason):
    with pytest.raises(BundleError, match=reason):
        check_graph(data)
    with pytest.raises(BundleError, match=r"bundle/scorer\.onnx: "):
        Detector.load(bundles.write(tmp_path / "bundle", scorer_onnx=data))


def rename_output(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = model.graph.output[0].name = "score"


def widen_images(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32


@pytest.mark.parametrize("change", [rename_output, widen_images])
def test_a_graph_with_other_inputs_or_outputs_is_refused(tmp_path, change):
    with pytest.raises(BundleError, match=r"bundle/scorer\.onnx: (has inputs|takes images)"):
        Detector.load(bundles.write(tmp_path / "bundle", scorer_onnx=graph_with(change)))


def test_what_is_not_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"bundle/tokenizer\.json: "):
        Detector.load(bundles.write(tmp_path / "bundle", tokenizer_json=b"{}"))
