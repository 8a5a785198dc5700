"""Clients of KServe and Triton get the same verdicts on the same port."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import grpc
import pytest

from robo_dialog.detect.client import DetectorClient
from robo_dialog.kserve import open_inference_pb2 as oip
from robo_dialog.kserve.open_inference_pb2_grpc import GRPCInferenceServiceStub
from server_fakes import DIGEST, LONG_S, jpeg, listening, png, serving

TRITON = """
import json, sys
import numpy as np
import tritonclient.grpc as triton

address, *images = sys.argv[1:]
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("success_detector")
shape = client.get_model_metadata("success_detector").inputs[0].shape
rows = np.array([[bytes.fromhex(image)] for image in images], object)
inputs = [triton.InferInput("IMAGES", rows.shape, "BYTES"), triton.InferInput("INSTRUCTION", [1], "BYTES")]
inputs[0].set_data_from_numpy(rows)
inputs[1].set_data_from_numpy(np.array([b"put the block on the plate"], object))
answer = client.infer("success_detector", inputs, request_id="mine")
found = {name: answer.as_numpy(name).tolist() for name in ("VERDICT", "PROBABILITY", "THRESHOLD")}
found["VERDICT"] = [word.decode() for word in found["VERDICT"]]
print(json.dumps({**found, "version": answer.get_response().model_version, "id": answer.get_response().id}))
"""


def test_a_triton_client_gets_the_verdicts_of_our_client():
    """In a process of its own: its generated code cannot be loaded beside ours."""
    pytest.importorskip("tritonclient")
    images = [png(255), png(0), jpeg(140)]
    with serving() as served, DetectorClient(served.address, timeout_s=LONG_S) as client:
        ours = [client.is_success([image], "put the block on the plate") for image in images]
        command = [sys.executable, "-c", TRITON, served.address, *(image.hex() for image in images)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs["VERDICT"] == [str(verdict.outcome) for verdict in ours]
    assert theirs["PROBABILITY"] == pytest.approx([verdict.probability for verdict in ours], abs=1e-7)
    assert theirs["THRESHOLD"] == pytest.approx([verdict.threshold for verdict in ours], abs=1e-7)
    assert (theirs["version"], theirs["id"]) == (DIGEST, "mine")


def tensor(name, elements, shape=None, datatype="BYTES"):
    contents = oip.InferTensorContents(bytes_contents=elements)
    return oip.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=shape or [len(elements)], contents=contents
    )


def asked(*inputs, **fields):
    return oip.ModelInferRequest(**{"model_name": "success_detector", "inputs": inputs, **fields})


ONE = tensor("IMAGES", [png()], [1, 1])
TEXT = tensor("INSTRUCTION", [b"lift it"])


@pytest.fixture(scope="module")
def served():
    with serving() as one:
        yield one


@pytest.fixture
def stub(served):
    with grpc.insecure_channel(served.address) as channel:
        yield GRPCInferenceServiceStub(channel)


def infer(stub, request):
    return stub.ModelInfer(request, timeout=LONG_S)


def test_attempts_may_have_views_of_their_own_number_and_names(stub, served):
    images = tensor("IMAGES", [png(255), png(255), png(0), b""], [2, 2])
    answer = infer(stub, asked(images, TEXT, tensor("CAMERAS", [b"front", b"side"])))
    verdicts = [answer.raw_output_contents[0][4:11], answer.raw_output_contents[0][15:22]]
    assert verdicts == [b"SUCCESS", b"FAILURE"]


def test_only_the_wanted_outputs_are_sent(stub):
    wanted = [oip.ModelInferRequest.InferRequestedOutputTensor(name="PROBABILITY")]
    answer = infer(stub, asked(ONE, TEXT, outputs=wanted))
    assert [output.name for output in answer.outputs] == ["PROBABILITY"]
    assert struct.unpack("<f", answer.raw_output_contents[0])[0] > 0.9


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (asked(ONE), "inputs: must have IMAGES"),
        (asked(ONE, TEXT, model_name="other"), "model_name: must be success_detector"),
        (asked(ONE, TEXT, TEXT), r"inputs\[2\].name: must be one of"),
        (asked(ONE, tensor("INSTRUCTION", [b"a", b"b"])), "inputs.INSTRUCTION: must have one element"),
        (asked(ONE, tensor("INSTRUCTION", [b"\xff"])), "inputs.INSTRUCTION: must be UTF-8"),
        (asked(tensor("IMAGES", [png()], [1, 2]), TEXT), r"inputs\[0\].shape: is not that of the contents"),
        (asked(tensor("IMAGES", [png()], [1]), TEXT), r"inputs\[0\].shape: must have 2 positive numbers"),
        (asked(tensor("IMAGES", [b"x"] * 65, [65, 1]), TEXT), "1 to 64 by 1 to 16"),
        (asked(tensor("IMAGES", [png()], [1, 1], "UINT8"), TEXT), r"inputs\[0\].datatype: must be BYTES"),
        (asked(ONE, TEXT, raw_input_contents=[b"xx"]), "raw_input_contents: must hold one entry"),
        (asked(ONE, TEXT, raw_input_contents=[b"\x09\0\0\0x", b""]), r"inputs\[0\].contents: ends within an element"),
        (asked(tensor("IMAGES", [b"junk"], [1, 1]), TEXT), r"frames\[0\].image"),
        (
            asked(ONE, TEXT, outputs=[oip.ModelInferRequest.InferRequestedOutputTensor(name="LOGITS")]),
            "outputs: must be some of",
        ),
    ],
)
def test_tensors_that_are_not_as_they_should_be_are_refused_by_name(stub, request_, named):
    with pytest.raises(grpc.RpcError, match=named) as refused:
        infer(stub, request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_another_version_is_not_found(stub):
    with pytest.raises(grpc.RpcError) as refused:
        infer(stub, asked(ONE, TEXT, model_version="7"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_millions_of_elements_are_refused_before_they_are_made(stub):
    with pytest.raises(grpc.RpcError, match="not a valid protobuf message"):
        infer(stub, asked(tensor("IMAGES", [b""] * 2000, [1, 1]), TEXT))


def test_before_a_model_is_loaded_the_server_is_live_and_not_ready():
    with listening() as served, grpc.insecure_channel(served.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(oip.ServerLiveRequest(), timeout=LONG_S).live
        assert not stub.ServerReady(oip.ServerReadyRequest(), timeout=LONG_S).ready
        assert not stub.ModelReady(oip.ModelReadyRequest(name="success_detector"), timeout=LONG_S).ready
        with pytest.raises(grpc.RpcError) as refused:
            infer(stub, asked(ONE, TEXT))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
