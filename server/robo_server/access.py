"""Every method and who may call it; what is not listed nobody may call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from robo_server.errors import ForbiddenError, UnauthenticatedError
from robo_server.settings import ADMIN_SERVICE, INFERENCE_SERVICE, SERVICE
from robo_server.tokens import Caller, Scope, TokenFile

SCOPES: Mapping[str, Scope] = {
    SERVICE: Scope.INFER,
    INFERENCE_SERVICE: Scope.INFER,
    ADMIN_SERVICE: Scope.ADMIN,
}
"""What a caller of a service needs."""
OPEN = frozenset({health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME})
"""Services for everybody who can connect; reflection is only there on loopback."""
_BEARER = "bearer "


class Access:
    """Decides on calls: by token where there is a file of them, else by `unnamed`."""

    def __init__(self, tokens: TokenFile | None, unnamed: frozenset[Scope]) -> None:
        """Without `tokens`, everybody who can connect may do what `unnamed` says."""
        self._tokens = tokens
        self._unnamed = Caller("", unnamed)

    def require(self, service: str, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        """Who calls a method of `service`.

        Raises:
            UnauthenticatedError: a token is needed, and there is none, or one that nobody has.
            ForbiddenError: the caller may not do this.
        """
        caller = self._unnamed if self._tokens is None else _known(self._tokens, metadata)
        scope = SCOPES.get(service)
        if scope is None or scope not in caller.scopes:
            raise ForbiddenError(f"this caller lacks the scope {scope}" if scope else "this method is not offered")
        return caller


def _known(tokens: TokenFile, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str) or values[0][: len(_BEARER)].lower() != _BEARER:
        raise UnauthenticatedError("send a token, as `authorization: Bearer TOKEN` in the metadata")
    caller = tokens.caller(values[0][len(_BEARER) :].strip())
    if caller is None:
        raise UnauthenticatedError("the token is not known")
    return caller
