"""NVIDIA PyTriton: Triton's gRPC front end and dynamic batcher, one inference callable a core."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from same import BATCH, CORES, HOST, Request, free_port, open_detector


def inference() -> Callable[..., dict[str, NDArray[np.float32]]]:
    """A callable with a detector of its own; Triton crashes when its instances share one."""
    detector = open_detector()

    @batch  # type: ignore[untyped-decorator]
    def judge(image: NDArray[np.bytes_], instruction: NDArray[np.bytes_]) -> dict[str, NDArray[np.float32]]:
        pairs = zip(image[:, 0], instruction[:, 0], strict=True)
        verdicts = detector.verdicts([Request([data], text.decode()) for data, text in pairs])
        return {"probability": np.array([[one.probability] for one in verdicts], np.float32)}

    return judge


def main(port: int) -> None:
    """Serve until stopped."""
    ports = {"grpc_port": port, "http_port": free_port(), "metrics_port": free_port()}
    with Triton(config=TritonConfig(grpc_address=HOST, http_address=HOST, **ports)) as triton:
        triton.bind(
            model_name="tiny",
            infer_func=[inference() for _ in range(CORES)],
            inputs=[Tensor(name=name, dtype=bytes, shape=(1,)) for name in ("image", "instruction")],
            outputs=[Tensor(name="probability", dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
