"""BentoML: its own command, which imports the service below and runs one worker process a core."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
from same import BATCH, CORES, HOST, asked, open_detector


@bentoml.service(workers=CORES, traffic={"timeout": 60})  # type: ignore[untyped-decorator]
class Judge:
    """Judges batches that BentoML gathers."""

    def __init__(self) -> None:
        self.detector = open_detector()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def judge(self, questions: list[dict[str, str]]) -> list[float]:
        """Probabilities of success, one a question."""
        return [one.probability for one in self.detector.verdicts([asked(one) for one in questions])]


if __name__ == "__main__":
    program = str(Path(sys.executable).with_name("bentoml"))
    options = [
        "serve",
        "with_bentoml:Judge",
        "--host",
        HOST,
        "--port",
        sys.argv[1],
        "--working-dir",
        str(Path(__file__).parent),
    ]
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.execv(program, [program, *options])  # noqa: S606 - it takes this process's place
