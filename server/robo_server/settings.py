"""The limits and addresses of one server; knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass, field

from robo_dialog.errors import ConfigError

MIB = 1024 * 1024
SERVICE = "robo_dialog.v1.SuccessDetectorService"
"""Full name of the service, also the name under which its readiness stands in grpc.health.v1."""
ADMIN_SERVICE = "robo_dialog.v1.ModelAdminService"
INFERENCE_SERVICE = "inference.GRPCInferenceService"


@dataclass(frozen=True)
class Limits:
    """How much the server takes on before it refuses.

    Raises:
        ConfigError: a value is out of range.
    """

    deadline_s: float = 10.0
    """Longest time for one request, in seconds; a shorter deadline of the client holds."""
    max_in_flight: int = 64
    """Requests in work at once, waiting ones included; more are refused with RESOURCE_EXHAUSTED."""
    max_bytes_in_flight: int = 256 * MIB
    """Bytes of all images in work; more are refused with RESOURCE_EXHAUSTED."""
    max_batch: int = 8
    """Frames in one run of the model."""
    cache: int = 4096
    """Verdicts that are remembered; 0 remembers none."""
    max_message_bytes: int = 8 * MIB
    """Largest request; larger ones are refused with RESOURCE_EXHAUSTED before they are read."""
    max_connections: int = 512
    """Connections at once; more are closed as they come."""

    def __post_init__(self) -> None:
        _require(self.deadline_s > 0, "--deadline", self.deadline_s, "more than 0 seconds")
        _require(self.max_in_flight >= 1, "--max-in-flight", self.max_in_flight, "1 or more requests")
        _require(self.max_batch >= 1, "--max-batch", self.max_batch, "1 or more frames")
        _require(self.max_connections >= 1, "--max-connections", self.max_connections, "1 or more connections")
        _require(self.cache >= 0, "--cache", self.cache, "0 or more verdicts")


@dataclass(frozen=True)
class Settings:
    """How a server listens and what it takes on.

    Raises:
        ConfigError: a value is out of range.
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 50051
    """TCP port; 0 takes any free one."""
    grace_s: float = 10.0
    """Seconds that requests in work get to finish after a signal to stop."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _require(0 <= self.port <= 65535, "--port", self.port, "a number from 0 (any free port) to 65535")
        _require(self.grace_s >= 0, "--grace", self.grace_s, "0 or more seconds")

    def address(self, port: int) -> str:
        """`host:port` as gRPC writes it, IPv6 hosts in brackets."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def _require(is_valid: bool, option: str, value: float, expected: str) -> None:
    if not is_valid:
        raise ConfigError(f"{option} {value} is out of range; give {expected}")
