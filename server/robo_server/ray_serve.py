"""The service as an application of Ray Serve, behind Ray's own gRPC ingress; needs the extra `ray-serve`.

    serve run robo_server.ray_serve:app bundle=my-bundle

answers `robo_dialog.v1.SuccessDetectorService` on the port of the cluster's `grpc_options`, where these list `INGRESS`.
Ray spreads calls over replicas, replaces dead ones and scales their number: settings of the deployment `Verdicts`. The
ingress has no encryption, knows no callers and passes no deadline on; keep its port inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from grpc_status import rpc_status
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext as Context

from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import ConfigError, StoreError
from robo_dialog.models import embedded_bundle
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server.calls import Call, Calls
from robo_server.logs import log_call
from robo_server.model import load_model
from robo_server.pipeline import Pipeline
from robo_server.problems import Problem
from robo_server.service import SuccessDetector
from robo_server.settings import Limits
from robo_server.succession import Succession

INGRESS = "robo_dialog.v1.success_detector_pb2_grpc.add_SuccessDetectorServiceServicer_to_server"
"""What `grpc_servicer_functions` in the cluster's `grpc_options` has to list."""
A = TypeVar("A")


@dataclass(frozen=True)
class Choice:
    """Which detector a replica serves; the embedded one where nothing is said.

    Raises:
        ConfigError: both are given.
    """

    bundle: str | None = None
    """Folder of a bundle, on every node."""
    store: str | None = None
    """Folder of a model store, instead of a bundle: its champion is served, whoever that becomes."""

    def __post_init__(self) -> None:
        if self.bundle is not None and self.store is not None:
            raise ConfigError(f"bundle={self.bundle} and store={self.store}: a replica has one of them")


class Verdicts:
    """One replica: the pipeline and the service of `robo-dialog serve`, without its server."""

    def __init__(self, choice: Choice) -> None:
        """Load the model, in the replica's event loop; Ray lets it answer when this is done.

        Raises:
            BundleError, StoreError: there is no detector that may be served.
        """
        limits = Limits()
        self._pipeline = Pipeline(limits)
        self._following: asyncio.Task[None] | None = None
        if choice.store is None:
            self._pipeline.serve(load_model(Path(choice.bundle) if choice.bundle else embedded_bundle()))
        else:
            self._follow(ModelStore(Path(choice.store)))
        self._calls = Calls([log_call])
        self._service = SuccessDetector(
            self._pipeline, self._calls, deadline_s=limits.deadline_s, stopping=asyncio.Event()
        )

    async def IsSuccess(self, request: pb.IsSuccessRequest, grpc_context: Context) -> pb.IsSuccessResponse:  # noqa: N802
        """Give the verdict on one request."""
        answer = self._service.IsSuccess(request, _ENDLESS)
        return await self._settled("IsSuccess", answer, grpc_context) or pb.IsSuccessResponse()

    async def StreamIsSuccess(  # noqa: N802
        self, request_stream: AsyncIterator[pb.StreamIsSuccessRequest]
    ) -> AsyncIterator[pb.StreamIsSuccessResponse]:
        """Give the verdicts on the requests of a stream, one after the other."""
        async for answer in self._service.StreamIsSuccess(request_stream, _ENDLESS):
            yield answer

    async def GetModel(self, request: pb.GetModelRequest, grpc_context: Context) -> pb.GetModelResponse:  # noqa: N802
        """Describe the model of this replica."""
        answer = self._service.GetModel(request, _ENDLESS)
        return await self._settled("GetModel", answer, grpc_context) or pb.GetModelResponse()

    async def ReportOutcome(  # noqa: N802
        self, request: pb.ReportOutcomeRequest, grpc_context: Context
    ) -> pb.ReportOutcomeResponse:
        """Replicas keep nothing; say so."""
        answer = self._service.ReportOutcome(request, _ENDLESS)
        return await self._settled("ReportOutcome", answer, grpc_context) or pb.ReportOutcomeResponse()

    async def _settled(self, method: str, answer: Awaitable[A], context: Context) -> A | None:
        """The answer; None if there is a problem, which the context then has, with all its details."""
        outcome = await self._calls.settle(Call(method), answer)
        if not isinstance(outcome, Problem):
            return outcome
        context.set_code(outcome.code)
        context.set_details(outcome.message)
        context.set_trailing_metadata(list(rpc_status.to_status(outcome.to_status()).trailing_metadata))
        return None

    def _follow(self, store: ModelStore) -> None:
        champion = store.pointers().champion
        if champion is None:
            raise StoreError(f"{store.root}: has no champion yet; make one with: robo-dialog models promote")
        self._pipeline.serve(load_model(store.path(champion)))
        succession = Succession(self._pipeline, store, load_model, lambda: asyncio.sleep(0))
        self._following = asyncio.ensure_future(succession.follow())


class _Endless:
    """What the service asks of a gRPC context, where nobody knows how long the client waits."""

    def time_remaining(self) -> None:
        return None


_ENDLESS = _Endless()


def app(args: Mapping[str, str]) -> serve.Application:
    """The application; `args` are the fields of `Choice`.

    Raises:
        ConfigError: an argument is unknown, or they contradict each other.
    """
    known = [one.name for one in fields(Choice)]
    for name in args:
        if name not in known:
            raise ConfigError(f"{name}={args[name]}: there is no such argument; give one of {', '.join(known)}")
    return serve.deployment(Verdicts).options(max_ongoing_requests=Limits().max_in_flight).bind(Choice(**args))
