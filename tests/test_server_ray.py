"""The service behind Ray Serve: a replica in this process, and a cluster of one node that our own client asks."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import grpc
import pytest

pytest.importorskip("ray", reason="needs the extra `ray-serve`")
pytest.importorskip("fastapi", reason="needs the extra `ray-serve`")

import bundles
from conftest import REPOSITORY
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.client import DetectorClient, RequestRejectedError
from robo_dialog.detect.store import ModelStore
from robo_dialog.detect.verdict import Outcome, Request
from robo_dialog.errors import ConfigError, StoreError
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server import ray_serve, succession
from server_fakes import jpeg

PATIENCE_S = "240"
"""What Ray's own checks get on a busy machine; they need a few seconds."""


class Context:
    """What a replica uses of Ray's gRPC context."""

    def __init__(self):
        self.told = {}

    def set_code(self, code):
        self.told["code"] = code

    def set_details(self, details):
        self.told["details"] = details

    def set_trailing_metadata(self, metadata):
        self.told["metadata"] = [name for name, _ in metadata]


def asked(image: bytes) -> pb.IsSuccessRequest:
    return pb.IsSuccessRequest(instruction="lift it", frames=[pb.Frame(image=image)])


@pytest.fixture
def bundle(tmp_path) -> Path:
    """Finds bright images successful."""
    return bundles.write(tmp_path / "bundle")


def test_a_replica_answers_and_tells_problems_with_all_their_details(bundle):
    async def ask():
        replica = ray_serve.Verdicts(ray_serve.Choice(bundle=str(bundle)))
        good, bad, kept = Context(), Context(), Context()
        answer = await replica.IsSuccess(asked(jpeg(255)), good)
        nothing = await replica.IsSuccess(asked(b"no image"), bad)
        model = await replica.GetModel(pb.GetModelRequest(), Context())
        await replica.ReportOutcome(pb.ReportOutcomeRequest(), kept)
        return answer, good, nothing, bad, model, kept

    answer, good, nothing, bad, model, kept = asyncio.run(ask())
    assert answer.verdict == pb.VERDICT_SUCCESS
    assert good.told == {}
    assert nothing == pb.IsSuccessResponse()
    assert bad.told["code"] is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.told["details"].startswith("frames[0]")
    assert bad.told["metadata"] == ["grpc-status-details-bin"]
    assert model.digest == answer.model_digest
    assert kept.told["code"] is grpc.StatusCode.FAILED_PRECONDITION


def test_a_replica_of_a_store_follows_its_champion(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(succession, "POLL_S", 0.01)
    store = ModelStore.create(tmp_path / "store")
    store.promote(store.publish(bundle))
    other = store.publish(bundles.write(tmp_path / "other", Calibration(threshold=0.9)))

    async def follow():
        replica = ray_serve.Verdicts(ray_serve.Choice(store=str(tmp_path / "store")))
        before = (await replica.GetModel(pb.GetModelRequest(), Context())).digest
        await asyncio.to_thread(store.promote, other)
        async with asyncio.timeout(60):
            while (now := (await replica.GetModel(pb.GetModelRequest(), Context())).digest) == before:
                await asyncio.sleep(0)
        return now

    assert asyncio.run(follow()).startswith(other)


def test_a_replica_of_a_store_without_a_champion_does_not_start(tmp_path):
    ModelStore.create(tmp_path / "store")
    with pytest.raises(StoreError, match="has no champion yet"):
        ray_serve.Verdicts(ray_serve.Choice(store=str(tmp_path / "store")))


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(ConfigError, match="bundel=x"):
        ray_serve.app({"bundel": "x"})
    with pytest.raises(ConfigError, match="one of them"):
        ray_serve.app({"bundle": "x", "store": "y"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def client(bundle):
    """Of a cluster of one node, whose workers can import what this process can."""
    import ray
    from ray import serve

    with pytest.MonkeyPatch.context() as patched:
        here = [str(REPOSITORY / folder) for folder in (".", "episodes", "server")] + [os.environ.get("PYTHONPATH")]
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, here)))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", PATIENCE_S)
        patched.setenv("RAY_agent_register_timeout_ms", f"{PATIENCE_S}000")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
        port = free_port()
        serve.start(
            http_options={"host": "127.0.0.1", "port": free_port()},
            grpc_options={"port": port, "grpc_servicer_functions": [ray_serve.INGRESS]},
        )
        serve.run(ray_serve.app({"bundle": str(bundle)}), name="verdicts")
        with DetectorClient(f"127.0.0.1:{port}", timeout_s=60) as asking:
            asking.wait_ready(60)
            yield asking
        serve.shutdown()
        ray.shutdown()


@pytest.mark.skipif("RAY_SERVE_TEST" not in os.environ, reason="Ray starts on a quiet machine only: RAY_SERVE_TEST=1")
@pytest.mark.timeout(900)
def test_our_client_gets_verdicts_through_rays_ingress(client):
    assert client.is_success([jpeg(255)], "lift it").outcome is Outcome.SUCCESS
    answers = list(client.stream(Request([image], "lift it") for image in (jpeg(255), b"no image", jpeg(0))))
    assert [getattr(answer, "outcome", None) for answer in answers] == [Outcome.SUCCESS, None, Outcome.FAILURE]
    assert isinstance(answers[1], RequestRejectedError)
    with pytest.raises(RequestRejectedError, match=r"frames\[0\]"):
        client.is_success([b"no image"], "lift it")
