"""Which model serves: a good candidate takes over without a failed request, a bad one changes nothing."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc

import bundles
from robo_dialog.detect import Detector, durable
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.golden import Golden
from robo_dialog.detect.store import ModelStore, Pointers
from robo_dialog.v1 import model_admin_pb2 as admin_pb
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_dialog.v1.model_admin_pb2_grpc import ModelAdminServiceStub
from robo_dialog.v1.success_detector_pb2_grpc import SuccessDetectorServiceStub
from robo_server import pipeline, succession
from robo_server.model import Model, load_model
from robo_server.settings import SERVICE
from server_fakes import LONG_S, FakeScorer, Served, detail_of, fake_model, listening, png, question, serving

NOT_FOUND, REFUSED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION


@dataclass(frozen=True)
class Following:
    """A server that follows a store, and stubs to ask it."""

    served: Served
    store: ModelStore
    detector: SuccessDetectorServiceStub
    admin: ModelAdminServiceStub

    def digest(self) -> str:
        """Digest of the model that answers a request."""
        return self.detector.IsSuccess(question(), timeout=LONG_S).model_digest

    def load(self, version: str) -> admin_pb.LoadModelResponse:
        return self.admin.LoadModel(admin_pb.LoadModelRequest(version=version), timeout=LONG_S)

    def rollback(self) -> admin_pb.RollbackResponse:
        return self.admin.Rollback(admin_pb.RollbackRequest(), timeout=LONG_S)

    def listed(self) -> admin_pb.ListModelsResponse:
        return self.admin.ListModels(admin_pb.ListModelsRequest(), timeout=LONG_S)

    def look(self) -> None:
        """Let the server look at the pointers now."""
        self.served.within(self.served.server._admin.succession.look())


@contextmanager
def following(
    store: ModelStore, load: Callable[[Path], Model] = lambda path: load_model(path, 1), *, wait: bool = True
) -> Iterator[Following]:
    """A server that follows `store`; it looks at the pointers when told to, not by the clock."""
    with ExitStack() as stack:
        served = stack.enter_context(listening())
        beginning = asyncio.run_coroutine_threadsafe(served.server.follow(store, load), served.loop)
        if wait:
            beginning.result(LONG_S)
        channel = stack.enter_context(grpc.insecure_channel(served.address, options=[("grpc.enable_retries", 0)]))
        yield Following(served, store, SuccessDetectorServiceStub(channel), ModelAdminServiceStub(channel))


@pytest.fixture(autouse=True)
def _nobody_looks_by_the_clock(monkeypatch):
    monkeypatch.setattr(succession, "POLL_S", 3600.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore.create(tmp_path / "store")


@pytest.fixture
def versions(store: ModelStore, tmp_path: Path) -> list[str]:
    """Three good versions; the first is the champion."""
    calibrations = (Calibration(threshold=threshold) for threshold in (0.1, 0.2, 0.3))
    found = [store.publish(bundles.write(tmp_path / f"b{k}", one)) for k, one in enumerate(calibrations)]
    store.promote(found[0])
    return found


def refusal(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value


def test_the_champion_of_the_store_serves(store, versions):
    with following(store) as server:
        assert server.digest().startswith(versions[0])
        listed = server.listed()
        assert {model.version for model in listed.models} == set(versions)
        assert (listed.champion, listed.previous, listed.serving) == (versions[0], "", versions[0])
        assert listed.models[0].name == "by-hand"
        assert listed.models[0].lineage.base_model == "by hand"


def test_a_loaded_version_serves_and_is_the_champion(store, versions):
    with following(store) as server:
        answer = server.load(versions[1])
        assert (answer.serving, answer.previous) == (versions[1], versions[0])
        assert server.digest().startswith(versions[1])
        assert store.pointers() == Pointers(versions[1], versions[0])


def test_a_rollback_serves_the_previous_champion_and_again_undoes_it(store, versions):
    with following(store) as server:
        server.load(versions[1])
        for expected in (versions[0], versions[1]):
            assert server.rollback().serving == expected
            assert server.digest().startswith(expected)


def test_loading_what_serves_already_loads_nothing(store, versions):
    loaded = []

    def load(path: Path) -> Model:
        loaded.append(path.name)
        return load_model(path, 1)

    with following(store, load) as server:
        assert server.load(versions[0]).serving == versions[0]
        server.look()
    assert loaded == [versions[0]]


def golden_off() -> bytes:
    images = np.stack([bundles.grey(0)])
    return Golden(images, ("lift it",), np.array([bundles.margin_of(0) + 0.01], np.float32)).encode()


def flip_bit(folder: Path) -> None:
    data = bytearray((folder / "scorer.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "scorer.onnx").write_bytes(data)


def hard_link(folder: Path) -> None:
    os.link(folder / "scorer.onnx", folder.parent / "elsewhere")


def symbolic_link(folder: Path) -> None:
    (folder / "scorer.onnx").rename(folder.parent / "real")
    (folder / "scorer.onnx").symlink_to("../real")


def python_file(folder: Path) -> None:
    (folder / "modeling.py").write_text("print('never run')")


def remove_file(folder: Path) -> None:
    (folder / "golden.npz").unlink()


DAMAGES = [flip_bit, hard_link, symbolic_link, python_file, remove_file]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_version_that_was_altered_is_refused_and_the_champion_goes_on(store, versions, damage):
    with following(store) as server:
        damage(store.path(versions[1]))
        error = refusal(lambda: server.load(versions[1]))
        assert error.code() is REFUSED
        assert detail_of(error, ErrorInfo).reason == "MODEL_REFUSED"
        assert str(store.root) not in error.details()
        assert server.digest().startswith(versions[0])
        assert store.pointers() == Pointers(versions[0], None)


BAD = {
    "custom operator": {"scorer_onnx": bundles.graph(domain="evil.ops")},
    "failed parity": {"golden_npz": golden_off()},
    "no number": {"scorer_onnx": bundles.graph(logarithm=True)},
    "no graph": {"scorer_onnx": b"nothing"},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_a_candidate_that_was_built_wrong_is_refused_and_the_champion_goes_on(store, versions, tmp_path, changed):
    version = store.publish(bundles.write(tmp_path / "bad", **changed))
    with following(store) as server:
        assert refusal(lambda: server.load(version)).code() is REFUSED
        assert server.digest().startswith(versions[0])
        assert store.pointers() == Pointers(versions[0], None)


@pytest.mark.parametrize("version", ["", "../../etc", "0" * 16, "x" * 10_000])
def test_an_unknown_version_is_not_found(store, versions, version):
    with following(store) as server:
        error = refusal(lambda: server.load(version))
        assert error.code() is NOT_FOUND
        assert len(error.details()) < 200


def test_without_a_previous_champion_a_rollback_is_not_found(store, versions):
    with following(store) as server:
        assert refusal(server.rollback).code() is NOT_FOUND


@pytest.mark.parametrize("method", ["ListModels", "LoadModel", "Rollback"])
def test_a_server_of_a_single_bundle_has_no_models_to_change(method):
    with serving() as served, grpc.insecure_channel(served.address) as channel:
        request = getattr(admin_pb, f"{method}Request")()
        error = refusal(lambda: getattr(ModelAdminServiceStub(channel), method)(request, timeout=LONG_S))
        assert error.code() is REFUSED
        assert "--store" in error.details()


def test_a_full_disk_while_the_pointers_move_leaves_everything_as_it_was(store, versions, monkeypatch):
    closed = []

    def load(path: Path) -> Model:
        model = load_model(path, 1)
        close = model.judge.close
        model.judge.close = lambda: (closed.append(path.name), close())
        return model

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with following(store, load) as server:
        with monkeypatch.context() as patch:
            patch.setattr(durable.os, "fsync", full)
            error = refusal(lambda: server.load(versions[1]))
        assert error.code() is REFUSED
        assert str(store.root) not in error.details()
        assert server.digest().startswith(versions[0])
        assert closed == [versions[1]]
        assert store.pointers() == Pointers(versions[0], None)


def test_a_champion_that_another_process_promotes_is_served(store, versions):
    with following(store) as server:
        store.promote(versions[2])
        assert server.digest().startswith(versions[0])
        server.look()
        assert server.digest().startswith(versions[2])


def test_a_bad_champion_that_another_process_promotes_is_refused_once_and_the_old_one_goes_on(store, versions):
    tried = []

    def load(path: Path) -> Model:
        tried.append(path.name)
        return load_model(path, 1)

    with following(store, load) as server:
        flip_bit(store.path(versions[1]))
        store.promote(versions[1])
        server.look()
        server.look()
        assert tried == [versions[0], versions[1]]
        assert server.digest().startswith(versions[0])
        listed = server.listed()
        assert (listed.champion, listed.serving) == (versions[1], versions[0])
        store.promote(versions[2])
        server.look()
        assert server.digest().startswith(versions[2])


def test_a_server_that_starts_with_a_bad_champion_serves_the_previous_one(store, versions):
    store.promote(versions[1])
    flip_bit(store.path(versions[1]))
    with following(store) as server:
        assert server.digest().startswith(versions[0])


def test_a_server_of_an_empty_store_is_live_and_becomes_ready_with_the_first_champion(store, tmp_path):
    with following(store, wait=False) as server, grpc.insecure_channel(server.served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)

        def states() -> list[int]:
            requests = (health_pb2.HealthCheckRequest(service=name) for name in ("", SERVICE))
            return [health.Check(request, timeout=LONG_S).status for request in requests]

        assert states() == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
        assert refusal(server.digest).code() is grpc.StatusCode.UNAVAILABLE
        version = store.publish(bundles.write(tmp_path / "first"))
        store.promote(version)
        server.look()
        assert states() == [health_pb2.HealthCheckResponse.SERVING] * 2
        assert server.digest().startswith(version)


def test_pointers_that_were_spoilt_change_nothing(store, versions):
    with following(store) as server:
        (store.root / "pointers.json").write_bytes(b"?")
        server.look()
        server.look()
        assert server.digest().startswith(versions[0])
        error = refusal(lambda: server.load(versions[1]))
        assert error.code() is REFUSED
        assert str(store.root) not in error.details()


@dataclass(frozen=True)
class Gated:
    """Fake models by version, each with its own gate."""

    scorers: dict[str, FakeScorer]

    def load(self, path: Path) -> Model:
        return fake_model(self.scorers[path.name], path.name.ljust(64, "0"))


def test_requests_in_work_end_with_their_model_which_is_closed_after_the_last(store, versions):
    models = Gated({version: FakeScorer() for version in versions})
    with following(store, models.load) as server:
        old = models.scorers[versions[0]]
        old.gate.clear()
        calls = [server.detector.IsSuccess.future(question(png(k)), timeout=LONG_S) for k in (0, 255)]
        assert old.entered.acquire(timeout=LONG_S)
        assert old.prepared.acquire(timeout=LONG_S)
        assert old.prepared.acquire(timeout=LONG_S)
        assert server.load(versions[1]).serving == versions[1]
        assert server.digest().startswith(versions[1])
        assert not old.is_closed
        old.gate.set()
        assert [call.result().model_digest[:16] for call in calls] == [versions[0]] * 2
        server.served.within(server.served.server._pipeline.wait_until_retired())
        assert old.is_closed


def test_memory_of_a_model_goes_back_after_the_model_is_closed(monkeypatch):
    first, second, closed = FakeScorer(), FakeScorer(), []
    monkeypatch.setattr(pipeline, "give_back", lambda: closed.append((first.is_closed, second.is_closed)))
    with serving() as served:
        for scorer in (first, second, FakeScorer()):
            served.within(served.server.load(lambda scorer=scorer: fake_model(scorer)))
            served.within(served.server._pipeline.wait_until_retired())
    assert closed[1:] == [(True, False), (True, True)]


def test_a_caller_that_gives_up_does_not_stop_the_change(store, versions):
    models = Gated({version: FakeScorer() for version in versions})
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path) -> Model:
        if path.name == versions[1]:
            loading.set()
            assert go_on.wait(LONG_S)
        return models.load(path)

    with following(store, load) as server:
        call = server.admin.LoadModel.future(admin_pb.LoadModelRequest(version=versions[1]), timeout=LONG_S)
        assert loading.wait(LONG_S)
        call.cancel()
        go_on.set()
        assert server.load(versions[2]).previous == versions[1]


def test_swaps_under_load_fail_nobody_and_mix_no_models(store, tmp_path):
    """The two models disagree on the threshold and the probability of every image."""
    calibrations = (Calibration(threshold=0.25, bias=0.0), Calibration(threshold=0.75, bias=1.0))
    paths = [bundles.write(tmp_path / f"m{k}", one) for k, one in enumerate(calibrations)]
    versions = [store.publish(path) for path in paths]
    store.promote(versions[0])
    images = [bundles.grey(level) for level in (90, 120, 150, 180)]
    expected = {}
    for path, image in itertools.product(paths, images):
        verdict = Detector.load(path, threads=1).verdict([image], "lift it")
        expected[verdict.model_digest, bundles.png(image)] = (verdict.probability, verdict.threshold)
    with following(store) as server, ThreadPoolExecutor(4) as clients:
        stop = threading.Event()

        def ask(image: bytes) -> set[str]:
            request, seen = pb.IsSuccessRequest(frames=[pb.Frame(image=image)], instruction="lift it"), set()
            while not stop.is_set():
                answer = server.detector.IsSuccess(request, timeout=LONG_S)
                assert (answer.probability, answer.threshold) == expected[answer.model_digest, image]
                seen.add(answer.model_digest[:16])
            return seen

        asking = [clients.submit(ask, bundles.png(image)) for image in images]
        for number in range(1, 21):
            assert server.load(versions[number % 2]).serving == versions[number % 2]
        stop.set()
        assert set.union(*(one.result(LONG_S) for one in asking)) == set(versions)
