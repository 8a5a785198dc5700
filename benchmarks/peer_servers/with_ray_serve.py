"""Ray Serve: one replica a core, behind its HTTP proxy."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

import ray
from ray import serve
from same import BATCH, CORES, HOST, asked, open_detector, wait_for_signal
from starlette.requests import Request as HttpRequest


@serve.deployment(num_replicas=CORES, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Judge:
    """Judges batches that Ray Serve gathers."""

    def __init__(self) -> None:
        self.detector = open_detector()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def judge(self, questions: list[Mapping[str, str]]) -> list[float]:
        """Probabilities of success, one a question."""
        return [one.probability for one in self.detector.verdicts([asked(one) for one in questions])]

    async def __call__(self, request: HttpRequest) -> dict[str, float]:
        """As JSON."""
        return {"probability": await self.judge(json.loads(await request.body()))}


if __name__ == "__main__":
    set_up = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=set_up,
    )
    serve.start(http_options={"host": HOST, "port": int(sys.argv[1])})
    serve.run(Judge.bind(), name="judge")
    wait_for_signal()
    serve.shutdown()
    ray.shutdown()
