"""`robo-dialog ready`: does this server give verdicts now? For health checks of containers and scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robo_dialog.errors import ConfigError, DetectorError

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True)
class Ready:
    """Ask a server whether it gives verdicts. Ends with 0 if so, with 8 if not; needs no token."""

    address: str = "127.0.0.1:50051"
    """`host:port`"""
    tls_root: Path | None = None
    """PEM file of the authority that signed the server's certificate; with it, the connection is encrypted."""
    tls_name: str | None = None
    """Name in the server's certificate, where it is not the address."""
    tls_cert: Path | None = None
    """PEM file of a client certificate, for servers that ask for one."""
    tls_key: Path | None = None
    """PEM file of its private key."""
    timeout: float = 4.0
    """Seconds to wait for the answer."""

    def run(self) -> int:
        """Ask the standard health service; returns 0."""
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        from robo_server.settings import SERVICE

        with self._channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=self.timeout)
            except grpc.RpcError as error:
                raise DetectorError(f"{self.address}: does not answer ({error.code().name})") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise DetectorError(f"{self.address}: is there, and gives no verdicts now")
        return 0

    def _channel(self) -> grpc.Channel:
        import grpc

        if self.tls_root is None:
            return grpc.insecure_channel(self.address)
        key, certificate = _read(self.tls_key), _read(self.tls_cert)
        credentials = grpc.ssl_channel_credentials(_read(self.tls_root), key, certificate)
        options = [] if self.tls_name is None else [("grpc.ssl_target_name_override", self.tls_name)]
        return grpc.secure_channel(self.address, credentials, options)


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
