"""One server from the first bind to the last answer: listen, load, be ready, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health
from grpc_reflection.v1alpha import reflection

from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import ConfigError
from robo_dialog.kserve.open_inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from robo_dialog.v1.model_admin_pb2_grpc import add_ModelAdminServiceServicer_to_server
from robo_dialog.v1.success_detector_pb2_grpc import add_SuccessDetectorServiceServicer_to_server
from robo_server.admin import ModelAdmin
from robo_server.archive import Keeping
from robo_server.door import Door
from robo_server.interceptor import Guard
from robo_server.logs import event
from robo_server.model import Model, ModelInfo
from robo_server.open_inference import OpenInference
from robo_server.pipeline import Pipeline
from robo_server.security import Security, is_loopback
from robo_server.service import SuccessDetector
from robo_server.settings import ADMIN_SERVICE, INFERENCE_SERVICE, MIB, SERVICE, Settings
from robo_server.succession import Succession
from robo_server.watching import Watching

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
QUIET_S = 0.1
"""Without a new call for this long, the clients are taken to know that the server stops."""
HANDSHAKE_MS = 10_000
LONGEST_FAREWELL_S = 1.0
"""Clients that go on calling are not waited for any longer than this."""


class Server:
    """A listening server. Call `listen`, `load`, `drain` in this order, in one event loop."""

    def __init__(
        self,
        settings: Settings,
        security: Security | None = None,
        keeping: Keeping | None = None,
        watching: Watching | None = None,
    ) -> None:
        """Nothing is bound yet, but for the port of the figures.

        Args:
            settings: how to listen and what to take on.
            security: who may connect and ask; by default everybody on this machine.
            keeping: what to keep of requests; by default nothing.
            watching: who watches from outside; by default the log alone.

        Raises:
            ConfigError: the server would be open to people that nobody knows, or something of it cannot be used.
        """
        security = security or Security()
        security.require_for(settings.host)
        self._settings = settings
        self._tls = security.tls()
        access = security.access(settings.host)
        self._watch = (watching or Watching()).begin()
        metrics = self._watch.metrics
        self._archive = None if keeping is None else keeping.open(metrics.outcome_reported)
        self._door = Door()
        self._pipeline = Pipeline(settings.limits, metrics.batch_ran)
        metrics.watch("requests_in_work", "Requests in work.", lambda: self._pipeline.in_work[0])
        metrics.watch("bytes_in_work", "Bytes of the images in work.", lambda: self._pipeline.in_work[1])
        self._health = aio_health.HealthServicer()
        self._ready = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._admin = ModelAdmin()
        self._calls = self._watch.calls()
        guard = Guard(self._door, access, self._calls)
        self._server = grpc.aio.server(interceptors=(guard,), options=_options(settings))
        self._add_services()

    def _add_services(self) -> None:
        deadline_s = self._settings.limits.deadline_s
        detector = SuccessDetector(
            self._pipeline, self._calls, deadline_s=deadline_s, stopping=self._door.shut, archive=self._archive
        )
        inference = OpenInference(self._pipeline, deadline_s=deadline_s, archive=self._archive)
        add_SuccessDetectorServiceServicer_to_server(detector, self._server)  # type: ignore[no-untyped-call]
        add_ModelAdminServiceServicer_to_server(self._admin, self._server)  # type: ignore[no-untyped-call]
        add_GRPCInferenceServiceServicer_to_server(inference, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if is_loopback(self._settings.host):
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            names = (SERVICE, ADMIN_SERVICE, INFERENCE_SERVICE, health, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def listen(self) -> str:
        """Bind and start: live, but not ready. Returns `host:port` with the port that was taken.

        Raises:
            ConfigError: the address cannot be bound, for example because another server has it.
        """
        _try_address(self._settings)
        try:
            port = self._bind(self._settings.address(self._settings.port))
        except RuntimeError as error:
            raise ConfigError(f"--port {self._settings.port}: cannot be listened on; give another") from error
        await self._health.set(SERVICE, NOT_SERVING)
        await self._server.start()
        return self._settings.address(port)

    def _bind(self, address: str) -> int:
        if self._tls is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, self._tls.credentials()))

    async def load(self, load: Callable[[], Model]) -> ModelInfo:
        """Load and warm up one model in its own thread, then be ready.

        Raises:
            RoboDialogError: the model cannot be loaded; the server then stays live and not ready.
        """
        model = await self._pipeline.prepare(load)
        self._pipeline.serve(model)
        await self._be_ready()
        return model.info

    async def follow(self, store: ModelStore, load: Callable[[Path], Model]) -> ModelInfo:
        """Serve the champion of a store from now on, whoever that is; returns when the first one is ready.

        A store without a champion that can be served is waited for: the server stays live and not ready.
        """
        self._admin.succession = Succession(self._pipeline, store, load, self._be_ready)
        self._following = asyncio.ensure_future(self._admin.succession.follow())
        await self._ready.wait()
        return self._pipeline.info

    async def _be_ready(self) -> None:
        if not self._door.shut.is_set():
            await self._health.set(SERVICE, SERVING)
            self._watch.metrics.model_serves(self._pipeline.info)
        self._ready.set()

    async def drain(self) -> bool:
        """Refuse new calls, let the open ones end within the grace, cancel what is left.

        Returns whether every thread has come to rest; if not, only ending the process stops the last of them.
        """
        self._door.shut.set()
        self._watch.metrics.draining()
        if self._following is not None:
            self._following.cancel()
        await self._health.enter_graceful_shutdown()
        try:
            async with asyncio.timeout(self._settings.grace_s):
                await self._door.wait_until_empty()
        except TimeoutError:
            event("cancelling", level=logging.WARNING)
            self._door.cancel()
        # gRPC ends a call that arrives while it stops as CANCELLED, which no client tries again. Until the clients
        # have heard that the door is shut, they are better refused by us, as UNAVAILABLE.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FAREWELL_S):
                await self._door.wait_until_empty()
                await self._door.wait_until_quiet(QUIET_S)
        await self._server.stop(None)
        await asyncio.to_thread(self._watch.close)
        is_archived = self._archive is None or await asyncio.to_thread(self._archive.close)
        return await self._pipeline.close() and is_archived


async def run(
    make: Callable[[], Server],
    begin: Callable[[Server], Awaitable[ModelInfo]],
    announce: Callable[[str, ModelInfo], None],
) -> bool:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    Args:
        make: gives the server; called in the event loop.
        begin: gives the listening server its model, by `Server.load` or `Server.follow`.
        announce: called once with the address and the model when the server is ready.

    Returns:
        Whether every thread has come to rest.

    Raises:
        RoboDialogError: the address cannot be bound, a file cannot be used, or the model cannot be loaded.
    """
    stop = _stop_on_signals()
    server = make()
    address = await server.listen()
    event("listening", address=address)
    if os.geteuid() == 0:
        event("running_as_root", level=logging.WARNING)
    loading = asyncio.ensure_future(begin(server))
    signalled = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((loading, signalled), return_when=asyncio.FIRST_COMPLETED)
        if not signalled.done():
            announce(address, loading.result())
            await signalled
    finally:
        event("draining")
        is_at_rest = await server.drain()
        event("stopped")
    return is_at_rest


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            event("killed", signal=number.name)
            logging.shutdown()
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # the default lets a second server take half of the connections in silence
        ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
        ("grpc.max_send_message_length", MIB),
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.max_allowed_incoming_connections", settings.limits.max_connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),  # who connects and says nothing takes a place no longer
        ("grpc.http2.settings_timeout", HANDSHAKE_MS),
        ("grpc.max_connection_age_ms", 30 * 60 * 1000),  # spreads clients over servers again; open calls go on
        ("grpc.max_connection_age_grace_ms", 60 * 60 * 1000),  # but not those that never finish
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients may ping three times as often as we do
    ]


def _try_address(settings: Settings) -> None:
    """Bind once by hand: when gRPC fails to, it tells the reason on stderr only, and not in words for people."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a port left a minute ago seems taken
            probe.bind((settings.host, settings.port))
    except OSError as error:
        wanted = settings.address(settings.port)
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"--port {settings.port}: another program listens on {wanted}; stop it or give --port 0 (any free one)"
            ) from error
        raise ConfigError(
            f"--host {settings.host} --port {settings.port}: cannot listen there ({error.strerror}); give another"
        ) from error
