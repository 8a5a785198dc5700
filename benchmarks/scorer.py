"""How fast the detector's graph runs on this machine's CPU, what makes it faster, and what that does to verdicts.

Every variant is run in turn, batch by batch, so that whatever else the machine does hits all of them; ratios are of
medians. Verdicts are compared on simulated episodes of `source` and `target`, all cameras fused. A variant is worth
shipping if it is faster and every verdict stays.

    python benchmarks/scorer.py [--rounds N] [--episodes N]
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from record import record
from robo_dialog.detect import Detector, Frame, Request
from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.conclude import Prepared, conclude
from robo_dialog.detect.session import Feed, available_threads
from robo_dialog.models import embedded_bundle
from robo_episodes.pool import FramePool

TASK = "put the red cube on the plate"
WORDINGS = ("place the red cube on the plate", "set the red cube down on the plate", "move the red cube onto the plate")
BATCH = 8
SEED = 77
NOTES = {
    "fp32_ms": "one image, one wording, one thread: milliseconds of the graph as shipped",
    "fp32_batch_ms": f"the same a piece, {BATCH} images in one run",
    "int8_speedup": "dynamic 8-bit weights and activations against fp32, one image",
    "int8_batch_speedup": f"the same, {BATCH} images in one run",
    "int8_flips": "share of verdicts that 8 bits change; not shipped unless 0",
    "int8_balanced_accuracy_change": "balanced accuracy of 8 bits less that of fp32, points, mean of both domains",
    "bf16_available": "1 if ONNX Runtime's CPU provider multiplies matrices in bfloat16",
    "shared_speedup": "4 wordings of one image, image looked at once, against once a wording",
    "two_threads_speedup": "one image with as many threads as cores against one thread: latency",
    "two_threads_batch_speedup": f"the same, {BATCH} images in one run: throughput of one runner",
    "two_runners_speedup": "as many runners of one thread as cores, against one runner of as many threads: throughput",
    "spinning_speedup": "threads that wait by spinning, as ONNX Runtime does by default, against threads that sleep",
    "prepare_224_ms": "decode, scale and tokenise a JPEG of 224 x 224 pixels",
    "prepare_480_ms": "the same of 640 x 480 pixels",
}


@dataclass(frozen=True)
class Variant:
    """A session and a name for it."""

    name: str
    run: Callable[[Feed], NDArray[np.float32]]


def session(graph: bytes, threads: int, *, spinning: bool = False) -> Callable[[Feed], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    opened = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda feed: opened.run(["margin"], dict(feed))[0]


def widened(graph: bytes) -> onnx.ModelProto:
    """The graph with plain float32 weights, as the quantiser wants them."""
    model = onnx.load_from_string(graph)
    weights = {weight.name: weight for weight in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in weights and node.output[0] not in weights:
            values = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            model.graph.initializer.remove(weights[node.input[0]])
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def in_8_bits(graph: bytes) -> bytes:
    """The graph with dynamically quantised matrix products."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(widened(graph), plain)
        quantize_dynamic(plain, packed, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
        return packed.read_bytes()


def multiplies_in_bf16() -> bool:
    """Whether the CPU provider has the product that a bfloat16 graph would be made of."""
    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])
    nodes = [
        helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16),
        helper.make_node("MatMul", ["narrow", "narrow"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])
    model = helper.make_model(
        helper.make_graph(nodes, "product", [shape], [result]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions share no other base
        return False
    return True


def feed_of(prepared: Sequence[Prepared], *, shared: bool = True) -> dict[str, NDArray[np.generic]]:
    """What the graph is fed with some requests: each image once, or once a wording."""
    pixels, tokens, index = [], [], []
    for one in prepared:
        for wording in one.tokens:
            if not shared or wording is one.tokens[0]:
                pixels += one.pixels
            index += range(len(pixels) - len(one.pixels), len(pixels))
            tokens += [wording] * len(one.pixels)
    length = max(map(len, tokens))
    ids = np.zeros((len(tokens), length), np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(tokens):
        ids[row, : len(prompt)], mask[row, : len(prompt)] = prompt, 1
    return {"pixel_values": np.stack(pixels), "input_ids": ids, "attention_mask": mask, "image_index": np.array(index)}


def medians(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each case, all run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(times[rounds // 10 :])) for name, times in seconds.items()}


def side_by_side(runs: Sequence[Callable[[], object]], seconds: float) -> float:
    """Runs a second when each of `runs` is repeated in a thread of its own."""
    counts = [0] * len(runs)
    until = time.perf_counter() + seconds

    def repeat(place: int) -> None:
        while time.perf_counter() < until:
            runs[place]()
            counts[place] += 1

    threads = [threading.Thread(target=repeat, args=(place,)) for place in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def episodes(domain: str, count: int, folder: Path) -> list[tuple[Request, bool]]:
    """Final frames of simulated episodes, all cameras, with what physics says."""
    robo = [sys.executable, "-c", "from robo_dialog.cli import main; main()"]
    recording, pool = folder / f"{domain}.hdf5", folder / f"{domain}.pool"
    options = ["--domain", domain, "--episodes", str(count), "--seed", str(SEED), "--split", "evaluation"]
    for command in (["simulate", "--out", str(recording), *options], ["ingest", str(recording), "--out", str(pool)]):
        subprocess.run([*robo, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found: dict[str, list[object]] = {}
    for row in FramePool.open(pool).rows():
        if row.steps_from_end == 0:
            found.setdefault(row.episode_id, []).append(row)
    return [
        (Request([Frame(row.png, row.camera) for row in rows], str(rows[0].instruction)), bool(rows[0].success))
        for rows in found.values()
    ]


def verdicts(
    detector: Detector, run: Callable[[Feed], NDArray[np.float32]], asked: Sequence[Prepared]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Outcomes, and whether each probability is over its threshold."""
    outcomes, positive = [], []
    for one in asked:
        margins = run(feed_of([one])).tolist()
        verdict = conclude(detector.calibration, one, [margins], detector.digest)
        outcomes.append(str(verdict.outcome))
        positive.append(verdict.probability >= verdict.threshold)
    return outcomes, np.array(positive)


def balanced(labels: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    return float((said[labels].mean() + (~said[~labels]).mean()) / 2)


def speed_figures(detector: Detector, graph: bytes, rounds: int) -> dict[str, float]:
    cores = available_threads()
    one, many = session(graph, 1), session(graph, cores)
    spinning, small = session(graph, cores, spinning=True), session(in_8_bits(graph), 1)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(BATCH)]
    asked = [detector.prepare(Request([image], TASK)) for image in images]
    worded = [detector.prepare(Request(images[:1], TASK, WORDINGS))]
    single, batch = feed_of(asked[:1]), feed_of(asked)
    shared, spread = feed_of(worded), feed_of(worded, shared=False)
    took = medians(
        {
            "one": lambda: one(single),
            "one batch": lambda: one(batch),
            "int8": lambda: small(single),
            "int8 batch": lambda: small(batch),
            "many": lambda: many(single),
            "many batch": lambda: many(batch),
            "spinning": lambda: spinning(single),
            "shared": lambda: one(shared),
            "spread": lambda: one(spread),
        },
        rounds,
    )
    wide, narrow = [], []
    for _ in range(3):
        wide.append(side_by_side([lambda: many(batch)], rounds / 100))
        narrow.append(side_by_side([lambda: one(batch)] * cores, rounds / 100))
    return {
        "fp32_ms": 1e3 * took["one"],
        "fp32_batch_ms": 1e3 * took["one batch"] / BATCH,
        "int8_speedup": took["one"] / took["int8"],
        "int8_batch_speedup": took["one batch"] / took["int8 batch"],
        "bf16_available": float(multiplies_in_bf16()),
        "shared_speedup": took["spread"] / took["shared"],
        "two_threads_speedup": took["one"] / took["many"],
        "two_threads_batch_speedup": took["one batch"] / took["many batch"],
        "two_runners_speedup": float(np.median(narrow) / np.median(wide)),
        "spinning_speedup": took["many"] / took["spinning"],
    }


def prepare_figures(detector: Detector, rounds: int) -> dict[str, float]:
    import cv2

    random = np.random.default_rng(0)
    cases = {}
    for name, (width, height) in {"prepare_224_ms": (224, 224), "prepare_480_ms": (640, 480)}.items():
        image = cv2.resize(random.integers(0, 256, (24, 32, 3), dtype=np.uint8), (width, height))
        request = Request([cv2.imencode(".jpg", image)[1].tobytes()], TASK)
        cases[name] = lambda request=request: detector.prepare(request)
    return {name: 1e3 * seconds for name, seconds in medians(cases, rounds).items()}


def verdict_figures(detector: Detector, graph: bytes, count: int) -> dict[str, float]:
    plain, small = session(graph, available_threads()), session(in_8_bits(graph), available_threads())
    flips, total, changes = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for domain in ("source", "target"):
            cases = episodes(domain, count, Path(folder))
            labels = np.array([success for _, success in cases])
            asked = [detector.prepare(request) for request, _ in cases]
            before, after = (verdicts(detector, run, asked) for run in (plain, small))
            flips += sum(one != other for one, other in zip(before[0], after[0], strict=True))
            total += len(cases)
            changes.append(balanced(labels, after[1]) - balanced(labels, before[1]))
    return {"int8_flips": flips / total, "int8_balanced_accuracy_change": 100 * float(np.mean(changes))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="how often each case is timed")
    parser.add_argument(
        "--episodes", type=int, default=400, help="episodes of each domain that verdicts are compared on"
    )
    options = parser.parse_args()
    graph = read_bundle(embedded_bundle()).contents["scorer.onnx"]
    detector = Detector.load(embedded_bundle(), threads=1)
    figures = {
        **speed_figures(detector, graph, options.rounds),
        **prepare_figures(detector, options.rounds),
        **verdict_figures(detector, graph, options.episodes),
    }
    for name in NOTES:
        print(f"{name:32} {figures[name]:8.3f}  {NOTES[name]}")
    record("scorer", {name: figures[name] for name in NOTES}, NOTES)


if __name__ == "__main__":
    main()
