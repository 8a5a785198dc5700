"""Between gRPC and the services: who may call, malformed messages, errors, and who is let in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext as Context
from grpc_status import rpc_status

from robo_dialog.detect.protobuf_fields import fields
from robo_dialog.errors import RequestError, RoboDialogError
from robo_dialog.kserve import open_inference_pb2 as oip
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server.access import OPEN, Access
from robo_server.calls import ORIGIN, Call, Calls, Origin
from robo_server.door import Door
from robo_server.errors import ForbiddenError, UnauthenticatedError
from robo_server.problems import Problem

Q = TypeVar("Q")
A = TypeVar("A")


MAX_FIELDS = 1024
"""Fields of a message; 8 MiB could hold millions, which would take seconds and hundreds of megabytes to take apart."""
DENSE: Mapping[str, tuple[int, ...]] = {
    "StreamIsSuccess": (pb.StreamIsSuccessRequest.REQUEST_FIELD_NUMBER,),
    "ModelInfer": (
        oip.ModelInferRequest.INPUTS_FIELD_NUMBER,
        oip.ModelInferRequest.InferInputTensor.CONTENTS_FIELD_NUMBER,
    ),
}
"""Where in a method's requests there may be many fields too: numbers of fields, the outer one first."""


class _Malformed:
    """Stands for a message that is no protobuf: an exception in a deserializer would reach the client as it is."""


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Wraps every method of our services; health and reflection pass by, and nothing else does."""

    def __init__(self, door: Door, access: Access, calls: Calls) -> None:
        self._door = door
        self._access = access
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """The handler of the method, guarded; who may not call it is refused before the request is read."""
        handler = await continuation(details)
        service, _, method = details.method.lstrip("/").partition("/")
        if handler is None or service in OPEN:
            return handler
        try:
            caller = self._access.require(service, details.invocation_metadata)
        except (UnauthenticatedError, ForbiddenError) as error:
            return grpc.stream_stream_rpc_method_handler(self._refusal(Call(method), error))
        traceparent = next((value for name, value in details.invocation_metadata if name == "traceparent"), "")
        ORIGIN.set(Origin(caller.name, str(traceparent)))
        if handler.response_streaming:
            make, guarded = grpc.stream_stream_rpc_method_handler, self._stream(handler.stream_stream, method)
        else:
            make, guarded = grpc.unary_unary_rpc_method_handler, self._unary(handler.unary_unary, method)
        deserialize = _tolerant(handler.request_deserializer, DENSE.get(method, ()))
        return make(guarded, deserialize, handler.response_serializer)

    def _unary(
        self, behaviour: Callable[[Q, Context], Awaitable[A]], method: str
    ) -> Callable[[Q | _Malformed, Context], Awaitable[A | None]]:
        async def work(request: Q | _Malformed, context: Context) -> A:
            with self._door.inside(context):
                return await behaviour(_require_well_formed(request), context)

        async def answer(request: Q | _Malformed, context: Context) -> A | None:
            return await _finish(await self._calls.settle(Call(method), work(request, context)), context)

        return answer

    def _stream(
        self, behaviour: Callable[[AsyncIterator[Q], Context], AsyncIterator[A]], method: str
    ) -> Callable[[AsyncIterator[Q | _Malformed], Context], Awaitable[None]]:
        async def work(requests: AsyncIterator[Q | _Malformed], context: Context) -> None:
            with self._door.inside(context):
                async for answer in behaviour(_well_formed(requests), context):
                    await context.write(answer)

        async def answer(requests: AsyncIterator[Q | _Malformed], context: Context) -> None:
            await _finish(await self._calls.settle(Call(method), work(requests, context)), context)

        return answer

    def _refusal(
        self, call: Call, error: RoboDialogError
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def refuse() -> None:
            raise error

        async def answer(_: AsyncIterator[bytes], context: Context) -> None:
            await _finish(await self._calls.settle(call, refuse()), context)

        return answer


async def _finish(outcome: A | Problem, context: Context) -> A | None:
    """The answer to send; a problem ends the call with its status instead."""
    if isinstance(outcome, Problem):
        await context.abort_with_status(rpc_status.to_status(outcome.to_status()))
        return None
    return outcome


def _tolerant(deserialize: Callable[[bytes], Q], dense: tuple[int, ...]) -> Callable[[bytes], Q | _Malformed]:
    """A deserializer that raises nothing; `dense` is the way to the fields in which there may be many others."""

    def tolerant(data: bytes) -> Q | _Malformed:
        try:
            return deserialize(data) if _is_sparse(memoryview(data), dense) else _Malformed()
        except (DecodeError, ValueError, IndexError):
            return _Malformed()

    return tolerant


def _is_sparse(data: memoryview, dense: tuple[int, ...]) -> bool:
    for count, (number, content) in enumerate(fields(data)):
        if count >= MAX_FIELDS:
            return False
        if number in dense[:1] and isinstance(content, memoryview) and not _is_sparse(content, dense[1:]):
            return False
    return True


async def _well_formed(requests: AsyncIterator[Q | _Malformed]) -> AsyncIterator[Q]:
    async for request in requests:
        yield _require_well_formed(request)


def _require_well_formed(request: Q | _Malformed) -> Q:
    if isinstance(request, _Malformed):
        raise RequestError("request", "is not a valid protobuf message of this method")
    return request
