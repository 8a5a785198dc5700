"""Requests that no honest client sends, each made from its number alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from google.protobuf.message import Message

from robo_dialog.v1 import model_admin_pb2 as admin_pb
from robo_dialog.v1 import success_detector_pb2 as pb

SEED = 20_260_101
CANARY = "zebra quartz"
"""Words of the instructions; no error may repeat them."""
METHODS = ("IsSuccess", "StreamIsSuccess", "ReportOutcome", "LoadModel", "GetModel", "ListModels")
SHARES = (0.7, 0.14, 0.05, 0.05, 0.03, 0.03)
BROKEN = 0.1
"""Share of the cases that go to the server whose model gives no number."""
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
CONTROL = ("\0", "a\nb", "\u202e", "\U0010ffff", "<|im_end|>", "<image>")
TEXTS = ("", " ", "ü" * 300, "x" * 600, "../../etc/passwd", "%s%n", *CONTROL)


@dataclass(frozen=True)
class Case:
    """One request."""

    number: int
    server: str
    """`real`, or `broken`: the one whose model gives no number."""
    method: str
    data: bytes


def case_of(number: int) -> Case:
    """Make a case from its number."""
    random = np.random.default_rng([SEED, number])
    server = "broken" if random.random() < BROKEN else "real"
    method = str(random.choice(METHODS, p=SHARES))
    kind = random.choice(["message", "image", "fields"], p=[0.4, 0.3, 0.3])
    if kind == "message":
        data = mutated(random, plain(random, method).SerializeToString())
    else:
        request = plain(random, method, image=kind == "image", fields=kind == "fields")
        data = request.SerializeToString()
    return Case(number, server, method, data)


def plain(random: np.random.Generator, method: str, *, image: bool = False, fields: bool = False) -> Message:
    """A request as it should be, but for its images or its fields."""
    if method == "IsSuccess":
        return asking(random, image=image, fields=fields)
    if method == "StreamIsSuccess":
        steadiness = pb.Steadiness(hysteresis=number_of(random), hold=int(random.integers(4))) if fields else None
        return pb.StreamIsSuccessRequest(request=asking(random, image=image, fields=fields), steadiness=steadiness)
    if method == "ReportOutcome":
        return pb.ReportOutcomeRequest(request_id=text_of(random), success=True, source=int(random.integers(4)))
    if method == "LoadModel":
        return admin_pb.LoadModelRequest(version=text_of(random))
    return pb.GetModelRequest() if method == "GetModel" else admin_pb.ListModelsRequest()


def asking(random: np.random.Generator, *, image: bool, fields: bool) -> pb.IsSuccessRequest:
    """A question about one or two images."""
    pictures = [picture(int(random.integers(8))) for _ in range(random.integers(1, 3))]
    if image:
        pictures = [mutated(random, one) for one in pictures]
    request = pb.IsSuccessRequest(frames=[pb.Frame(image=one) for one in pictures], instruction=f"do {CANARY}")
    if fields:
        request.instruction = text_of(random)
        request.request_id = text_of(random)
        request.explain = bool(random.integers(2))
        request.paraphrases.extend(text_of(random) for _ in range(random.integers(6)))
        for frame in request.frames:
            frame.camera, frame.encoding = text_of(random), int(random.integers(5))
            frame.step = int(random.choice([-1, 0, 1, 2**63 - 1, -(2**63)]))
        request.frames.extend(request.frames[:1] * int(random.choice([0, 0, 0, 14, 16])))
    return request


def text_of(random: np.random.Generator) -> str:
    """A text of a field: honest, known to hurt, or any characters."""
    kind = random.integers(3)
    if kind == 0:
        return f"put the {CANARY} on the plate"
    if kind == 1:
        return TEXTS[random.integers(len(TEXTS))]
    points = random.integers(1, 0x2FFF, size=random.integers(1, 40))
    return "".join(map(chr, points))


def number_of(random: np.random.Generator) -> float:
    """A number of a field."""
    return float(random.choice([0.0, 0.1, 0.2, 0.5, -1.0, 1e300, np.nan]))


@functools.cache
def picture(number: int) -> bytes:
    """A small JPEG or PNG."""
    random = np.random.default_rng([SEED, 1, number])
    side = int(random.integers(16, 96))
    soft = cv2.resize(random.integers(0, 256, (8, 8, 3), dtype=np.uint8), (side, side))
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, number % 4 // 2]
    return bytes(cv2.imencode(".png" if number % 2 else ".jpg", soft, [] if number % 2 else progressive)[1])


def mutated(random: np.random.Generator, data: bytes) -> bytes:
    """Bytes with something wrong."""
    found = bytearray(data or b"\0")
    for _ in range(int(2 ** random.uniform(0, 4))):
        at = int(random.integers(min(len(found), 64) if random.integers(2) else len(found)))
        size = int(2 ** random.uniform(0, 8))
        kind = random.integers(6)
        if kind == 0:
            found[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            found[at] = int(random.choice(INTERESTING))
        elif kind == 2:
            del found[at : at + size]
        elif kind == 3:
            found[at:at] = found[at : at + size]
        elif kind == 4:
            found[at : at + 4] = int(random.choice([0, 2**31 - 1, 2**32 - 1])).to_bytes(4, "big")
        else:
            found[at:at] = random.bytes(size)
        found = found or bytearray(1)
    return bytes(found)
