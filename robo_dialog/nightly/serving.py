"""Whether a running server took the new champion; a store whose champion nobody serves is put back."""

from __future__ import annotations

import time
from pathlib import Path

from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.connection import Tls
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import ConfigError, DetectorError
from robo_dialog.nightly.settings import ServerChoice

_LOOK_S = 1.0


def settle(store: ModelStore, version: str, server: ServerChoice) -> str | None:
    """What is wrong with how the server took a version, in words; a store whose champion it refuses is rolled back."""
    took = True if server.address is None else _took(server, version)
    if took is None:
        return f"{server.address} does not answer: nobody knows whether it serves {version}"
    if took:
        return None
    pointers = store.pointers()
    if pointers.champion == version and pointers.previous is not None:
        store.rollback()
        return f"{server.address} does not serve {version}; the store went back to {pointers.previous}"
    return f"{server.address} does not serve {version}"


def _took(server: ServerChoice, version: str) -> bool | None:
    """Wait until the server serves a version; False if it goes on with another, None if it is not there."""
    until = time.monotonic() + server.patience
    with _client(server) as client:
        while (left := until - time.monotonic()) > 0:
            try:
                if client.wait_ready(left).digest.startswith(version):
                    return True
            except DetectorError:
                return None
            time.sleep(min(_LOOK_S, left))
    return False


def _client(server: ServerChoice) -> DetectorClient:
    tls = None if server.tls_root is None else Tls(root=_read(server.tls_root))
    token = None if server.token is None else _read(server.token).decode().strip()
    return DetectorClient(str(server.address), token=token, tls=tls)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
