"""`robo-dialog serve`: options, the ready line and the exit code; the work is in `robo_server.app`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from robo_dialog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from robo_server.app import Server
    from robo_server.model import Model, ModelInfo


@dataclass(frozen=True)
class Serve:
    """Serve verdicts over gRPC until SIGTERM or Ctrl-C.

    Log lines (JSON, one a line) go to stderr; the line `ready` tells the address and the digest of the model.
    """

    bundle: Path | None = None
    """Folder of the detector bundle; the embedded model `tiny` when left out."""
    store: Path | None = None
    """Folder of a model store, instead of a bundle: its champion is served, whoever that becomes."""
    require_signature: Path | None = None
    """PEM file of an Ed25519 public key; bundles that it did not sign are refused."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 50051
    """TCP port; 0 takes any free one, told by the line `ready`."""
    grace: float = 10.0
    """Seconds that requests in work get to finish after the first signal to stop; a second signal stops at once."""
    deadline: float = 10.0
    """Longest time for one request in seconds; a client's shorter deadline holds."""
    max_in_flight: int = 64
    """Requests in work at once, waiting ones included. More are refused, so that none waits too long."""
    max_batch: int = 8
    """Frames in one run of the model: those that wait when it becomes free. Nothing is delayed to fill a batch."""
    max_connections: int = 512
    """Connections at once; more are closed as they come."""
    cache: int = 4096
    """Verdicts that are remembered for identical images and words; 0 remembers none."""
    threads: int | None = None
    """CPU threads for one run of the model; when left out, one for small models, which then run side by side on all
    cores, and all cores for large ones."""
    worker: Literal["auto", "thread", "process"] = "auto"
    """Where the model runs: in a thread, or in a process whose end frees all memory; auto: a process on a GPU."""
    tls_cert: Path | None = None
    """PEM file of the server's certificate; with it, everything is encrypted. Read again when it changes."""
    tls_key: Path | None = None
    """PEM file of its private key."""
    tls_client_ca: Path | None = None
    """PEM file of the authority whose certificates clients must show."""
    tokens: Path | None = None
    """File of callers: name, scopes (infer, admin) and SHA-256 of the token, one a line. Read again when it changes."""
    insecure_allow_remote: bool = False
    """Let `--host` be reachable from other machines although nothing is encrypted or nobody is asked who they are."""
    record: Path | None = None
    """Folder in which to keep outcomes that clients report, and some of the frames; nothing is kept when left out."""
    record_megabytes: int = 1024
    """Bound on the frames that are kept; the oldest go first."""
    record_rate: float = 1.0
    """Most requests a second whose frames are kept; 0 keeps outcomes only."""
    metrics_port: int | None = None
    """TCP port of the figures for Prometheus, over HTTP; none when left out, 0 takes any free one and logs it."""
    metrics_host: str = "127.0.0.1"
    """Address on which the figures are given, to everybody who can reach it."""
    traces: bool = False
    """Send spans of all calls to an OpenTelemetry collector, set by the variables OTEL_EXPORTER_OTLP_*."""
    json: bool = False
    """Print one JSON object on stdout when ready: address, port, pid, model name and digest."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of log lines. `warning` silences the line of every call, and the line `ready` too."""

    def run(self) -> int:
        """Serve; returns 0 after a drained stop."""
        from robo_server.app import run
        from robo_server.logs import log_to_stderr
        from robo_server.priority import switch_often

        switch_often()
        make, begin = self._server(), self._models()
        log_to_stderr(self.log_level)
        is_at_rest = asyncio.run(run(make, begin, self._announce))
        if not is_at_rest:
            end_process()
        return 0

    def _server(self) -> Callable[[], Server]:
        """What makes the server; options that cannot be meant are refused here and now."""
        from robo_server.app import Server
        from robo_server.archive import Keeping
        from robo_server.security import Security
        from robo_server.settings import Limits, Settings
        from robo_server.watching import Watching

        limits = Limits(
            deadline_s=self.deadline,
            max_in_flight=self.max_in_flight,
            max_batch=self.max_batch,
            max_connections=self.max_connections,
            cache=self.cache,
        )
        settings = Settings(self.host, self.port, self.grace, limits)
        security = Security(self.tls_cert, self.tls_key, self.tls_client_ca, self.tokens, self.insecure_allow_remote)
        keeping = None if self.record is None else Keeping(self.record, self.record_megabytes, self.record_rate)
        watching = Watching(self.metrics_port, self.metrics_host, self.traces)
        return lambda: Server(settings, security, keeping, watching)

    def _models(self) -> Callable[[Server], Awaitable[ModelInfo]]:
        """How the server gets its model."""
        from robo_dialog.detect.signature import Signer
        from robo_dialog.detect.store import ModelStore
        from robo_dialog.models import embedded_bundle
        from robo_server.model import load_model

        signer = None if self.require_signature is None else Signer.read(self.require_signature)

        def load(bundle: Path) -> Model:
            return load_model(bundle, self.threads, self.worker, signer)

        if self.store is None:
            bundle = self.bundle or embedded_bundle()
            return lambda server: server.load(lambda: load(bundle))
        if self.bundle is not None:
            raise ConfigError(f"--bundle {self.bundle} and --store {self.store}: a server has one of them")
        store = ModelStore(self.store)
        return lambda server: server.follow(store, load)

    def _announce(self, address: str, model: ModelInfo) -> None:
        from robo_server.logs import event

        port = int(address.rpartition(":")[2])
        event("ready", address=address, model=model.name, digest=model.digest)
        if self.json:
            ready = {"address": address, "port": port, "pid": os.getpid(), "model": model.name, "digest": model.digest}
            print(json.dumps(ready), flush=True)


def end_process() -> None:
    """End at once: the grace is over and a thread is still in the model, which nothing can interrupt."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
