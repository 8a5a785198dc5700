"""The tensors of the Open Inference Protocol as requests to the detector, and verdicts as tensors; pure.

IMAGES       BYTES [N, V]  N attempts, V encoded views each (JPEG, PNG); empty elements are left out
INSTRUCTION  BYTES [N]     what each robot was told to do, UTF-8; [1] for all of them
CAMERAS      BYTES [V]     names of the cameras; may be left out
VERDICT      BYTES [N]     SUCCESS, FAILURE or UNCERTAIN
PROBABILITY  FP32 [N]      calibrated P(success)
THRESHOLD    FP32 [N]      around which SUCCESS and FAILURE part
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

from robo_dialog.detect.calibration import MAX_FRAMES
from robo_dialog.detect.verdict import Frame, Request, Verdict
from robo_dialog.errors import RequestError
from robo_dialog.kserve import open_inference_pb2 as oip

Tensor = oip.ModelMetadataResponse.TensorMetadata
Output = oip.ModelInferResponse.InferOutputTensor

INPUTS = (
    Tensor(name="IMAGES", datatype="BYTES", shape=[-1, -1]),
    Tensor(name="INSTRUCTION", datatype="BYTES", shape=[-1]),
    Tensor(name="CAMERAS", datatype="BYTES", shape=[-1]),
)
OUTPUTS = (
    Tensor(name="VERDICT", datatype="BYTES", shape=[-1]),
    Tensor(name="PROBABILITY", datatype="FP32", shape=[-1]),
    Tensor(name="THRESHOLD", datatype="FP32", shape=[-1]),
)
MAX_ATTEMPTS = 64
LONGEST_CAMERA = 64


def questions_of(request: oip.ModelInferRequest) -> list[Request]:
    """The N questions of a request; images are not looked into.

    Raises:
        RequestError: a tensor is missing, unknown, or not of its type and shape.
    """
    tensors = _tensors(request)
    if "IMAGES" not in tensors or "INSTRUCTION" not in tensors:
        raise RequestError("inputs", "must have IMAGES [N, V] and INSTRUCTION [N]")
    (attempts, views), images = tensors["IMAGES"]
    if not (1 <= attempts <= MAX_ATTEMPTS and 1 <= views <= MAX_FRAMES):
        raise RequestError("inputs.IMAGES", f"must have a shape of 1 to {MAX_ATTEMPTS} by 1 to {MAX_FRAMES}")
    texts = [_text(element, "INSTRUCTION") for element in tensors["INSTRUCTION"][1]]
    if len(texts) not in (1, attempts):
        raise RequestError("inputs.INSTRUCTION", "must have one element, or as many as IMAGES has rows")
    names = [_text(element, "CAMERAS") for element in tensors.get("CAMERAS", ((views,), [b""] * views))[1]]
    if len(names) != views or any(len(name.encode()) > LONGEST_CAMERA for name in names):
        raise RequestError(
            "inputs.CAMERAS", f"must have a name of up to {LONGEST_CAMERA} bytes for each column of IMAGES"
        )
    rows = [images[start : start + views] for start in range(0, len(images), views)]
    return [
        Request([Frame(image, name) for image, name in zip(row, names, strict=True) if image], text)
        for row, text in zip(rows, texts * (attempts // len(texts)), strict=True)
    ]


def outputs_of(request: oip.ModelInferRequest, verdicts: Sequence[Verdict]) -> tuple[list[Output], list[bytes]]:
    """The tensors that the request wants, and their contents.

    Raises:
        RequestError: it wants one that there is not.
    """
    words = (str(verdict.outcome).encode() for verdict in verdicts)
    contents = {
        "VERDICT": b"".join(struct.pack("<I", len(word)) + word for word in words),
        "PROBABILITY": struct.pack(f"<{len(verdicts)}f", *(verdict.probability for verdict in verdicts)),
        "THRESHOLD": struct.pack(f"<{len(verdicts)}f", *(verdict.threshold for verdict in verdicts)),
    }
    wanted = [output.name for output in request.outputs] or list(contents)
    if len(set(wanted)) < len(wanted) or not set(wanted) <= contents.keys():
        raise RequestError("outputs", f"must be some of {', '.join(contents)}, each once")
    types = {tensor.name: tensor.datatype for tensor in OUTPUTS}
    tensors = [Output(name=name, datatype=types[name], shape=[len(verdicts)]) for name in wanted]
    return tensors, [contents[name] for name in wanted]


def _tensors(request: oip.ModelInferRequest) -> dict[str, tuple[tuple[int, ...], list[bytes]]]:
    """Shape and elements of the inputs by name."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError("raw_input_contents", "must hold one entry for each of inputs, or nothing")
    ranks = {tensor.name: len(tensor.shape) for tensor in INPUTS}
    found: dict[str, tuple[tuple[int, ...], list[bytes]]] = {}
    for place, tensor in enumerate(request.inputs):
        field = f"inputs[{place}]"
        if tensor.name not in ranks or tensor.name in found:
            raise RequestError(f"{field}.name", f"must be one of {', '.join(ranks)}, each once")
        if tensor.datatype != "BYTES":
            raise RequestError(f"{field}.datatype", "must be BYTES")
        shape = tuple(tensor.shape)
        if len(shape) == ranks[tensor.name] + 1 and shape[-1] == 1 and tensor.name != "IMAGES":
            shape = shape[:-1]  # as servers with a batch dimension have it
        if len(shape) != ranks[tensor.name] or min(shape) < 1:
            raise RequestError(f"{field}.shape", f"must have {ranks[tensor.name]} positive numbers")
        elements = list(_elements(raw[place], field)) if raw else list(tensor.contents.bytes_contents)
        if len(elements) != math.prod(shape):
            raise RequestError(f"{field}.shape", "is not that of the contents")
        found[tensor.name] = shape, elements
    return found


def _elements(raw: bytes, field: str) -> Iterator[bytes]:
    """The elements of a BYTES tensor: each follows its length, four bytes, little-endian."""
    start = 0
    while start < len(raw):
        if start + 4 > len(raw):
            raise RequestError(f"{field}.contents", "ends within the length of an element")
        (length,) = struct.unpack_from("<I", raw, start)
        start += 4 + length
        if start > len(raw):
            raise RequestError(f"{field}.contents", "ends within an element")
        yield raw[start - length : start]


def _text(element: bytes, name: str) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"inputs.{name}", "must be UTF-8") from error
