"""What a team has before it exports anything: transformers and torch behind plain gRPC, one request at a time."""

from __future__ import annotations

import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import torch
from same import CORES, HOST, open_detector, wait_for_signal

from robo_dialog.detect.image import decode_rgb
from robo_dialog.models import embedded_model
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_dialog.vlm.prompts import ANSWERS, success_question
from robo_dialog.vlm.protocol import Message
from robo_dialog.vlm.transformers_vlm import TransformersVLM


def main(port: int) -> None:
    """Serve until SIGTERM."""
    torch.set_num_threads(CORES)
    calibration, model, turn = open_detector().calibration, TransformersVLM(embedded_model()), threading.Lock()

    def judge(data: bytes, _: grpc.ServicerContext) -> bytes:
        request = pb.IsSuccessRequest.FromString(data)
        image = decode_rgb(request.frames[0].image)
        prompt = (Message("user", success_question(request.instruction), (image,)),)
        with turn:
            no, yes = model.score([prompt], ANSWERS)[0]
        return struct.pack("<d", calibration.probability(float(yes - no), 1))

    handlers = {"IsSuccess": grpc.unary_unary_rpc_method_handler(judge)}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Eager", handlers)])
    server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    wait_for_signal()


if __name__ == "__main__":
    main(int(sys.argv[1]))
