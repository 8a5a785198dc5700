"""LitServe: one worker process a core."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import litserve
from same import BATCH, CORES, HOST, asked, open_detector

from robo_dialog.detect.conclude import Prepared


class Judge(litserve.LitAPI):  # type: ignore[misc]
    """Decodes by itself, judges what LitServe gathers."""

    def setup(self, device: str) -> None:
        """Open the detector in a worker."""
        self.detector = open_detector()

    def decode_request(self, request: Mapping[str, str]) -> Prepared:
        """Check, decode and tokenise."""
        return self.detector.prepare(asked(request))

    def batch(self, inputs: list[Prepared]) -> list[Prepared]:
        """As they are: the detector stacks them itself."""
        return inputs

    def predict(self, inputs: list[Prepared]) -> list[float]:
        """Probabilities of success."""
        return [one.probability for one in self.detector.judge(inputs)]

    def unbatch(self, output: list[float]) -> list[float]:
        """One each."""
        return output

    def encode_response(self, output: float) -> dict[str, float]:
        """As JSON."""
        return {"probability": output}


if __name__ == "__main__":
    api = Judge(max_batch_size=BATCH, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=CORES, timeout=60)
    server.run(host=HOST, port=int(sys.argv[1]), generate_client_file=False, log_level="error")
