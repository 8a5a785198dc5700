"""Asks a robo-dialog server for verdicts; needs numpy, grpcio and protobuf, nothing else. For asyncio there is `aio`.

    with DetectorClient("127.0.0.1:50051") as detector:
        verdict = detector.is_success([jpeg_bytes], "put the red block into the bowl")

DetectorError
├── RequestRejectedError       the request is wrong, or the caller may not ask; sending it again is of no use
├── DetectorOverloadedError    the server has too much to do; try again after `retry_after_s`
├── DeadlineMissedError        no answer in time
├── DetectorUnavailableError   no server there, its model is still being loaded, or it stops
└── DetectorFailedError        a fault of the server; the message has the request id for its log
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from robo_dialog.detect.connection import OPTIONS, Connection, Tls
from robo_dialog.detect.verdict import Frame, Request
from robo_dialog.detect.wire import (
    DeadlineMissedError,
    DetectorFailedError,
    DetectorOverloadedError,
    DetectorUnavailableError,
    OutcomeSource,
    RemoteModel,
    RemoteVerdict,
    RequestRejectedError,
    Steadiness,
    encode_png,
    model_value,
    not_ready,
    outcome_message,
    request_message,
    stream_message,
    verdict_value,
)
from robo_dialog.errors import DetectorError
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_dialog.v1.success_detector_pb2_grpc import SuccessDetectorServiceStub

__all__ = [
    "DeadlineMissedError",
    "DetectorClient",
    "DetectorError",
    "DetectorFailedError",
    "DetectorOverloadedError",
    "DetectorUnavailableError",
    "RemoteModel",
    "RemoteVerdict",
    "RequestRejectedError",
    "Steadiness",
    "Tls",
    "encode_png",
]

A = TypeVar("A")
POLL_S = 0.1
"""Seconds between two questions whether the model is ready."""


class DetectorClient:
    """A connection to one server (`host:port`); made at the first call, made again when it breaks, safe in threads.

    Every call has a deadline, retries included; only UNAVAILABLE is tried again.
    """

    def __init__(
        self, address: str, *, timeout_s: float = 2.0, token: str | None = None, tls: Tls | None = None
    ) -> None:
        """Connect at the first call.

        Args:
            address: `host:port`; a name with several addresses spreads the calls over them.
            timeout_s: deadline of a call in seconds, where the call itself gives none.
            token: sent with every call, for servers that know their callers.
            tls: encryption; None sends plaintext.

        Raises:
            ConfigError: the token would be sent unencrypted to another machine.
        """
        self._connection = Connection(address, token, tls)
        self._timeout_s = timeout_s
        credentials = self._connection.credentials
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=OPTIONS)
        self._stub = SuccessDetectorServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; open calls are cancelled."""
        self._channel.close()

    def is_success(
        self,
        frames: Sequence[bytes | Frame | NDArray[np.uint8]],
        instruction: str,
        *,
        paraphrases: Sequence[str] = (),
        explain: bool = False,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RemoteVerdict:
        """Ask whether the frames show that the instruction was carried out.

        Args:
            frames: 1 to 16 views of the end of one attempt: encoded JPEG or PNG, with or without camera and step, or
                RGB pixels, uint8 [height, width, 3], which are sent as PNG (JPEG bytes as the camera gives them are
                smaller and faster).
            instruction: what the robot was told to do, 1 to 512 characters.
            paraphrases: up to 4 other wordings of it, which are asked too.
            explain: whether the verdict shall tell what was asked and answered.
            request_id: name for the request in the server's log, 1 to 64 of `A-Z a-z 0-9 . _ : -`.
            timeout_s: deadline of this call in seconds, instead of the client's.

        Raises:
            DetectorError: there is no verdict; the subclass says why.
        """
        request = request_message(Request(frames, instruction, paraphrases, explain), request_id)
        return verdict_value(self._call(self._stub.IsSuccess, request, timeout_s))

    def is_success_all(
        self, requests: Sequence[Request], *, timeout_s: float | None = None
    ) -> list[RemoteVerdict | DetectorError]:
        """Ask several questions at once, which takes little longer than one: the server judges them together.

        Args:
            requests: at most as many as the server has places for (64, if its operator did not say otherwise).
            timeout_s: deadline of each call in seconds, instead of the client's.

        Returns:
            Verdicts in the order of the requests; where there is none, the error that says why.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        messages = [request_message(request, None) for request in requests]
        metadata = self._connection.metadata
        calls = [self._stub.IsSuccess.future(message, timeout=limit_s, metadata=metadata) for message in messages]
        return [self._settled(call) for call in calls]

    def stream(
        self, requests: Iterable[Request], *, steadiness: Steadiness | None = None, timeout_s: float = 3600.0
    ) -> Iterator[RemoteVerdict | DetectorError]:
        """Ask one request after the other on one connection; the answers come in the order of the requests.

        A request that fails yields its error as a value, so that one broken image does not end a control loop.

        Args:
            requests: read ahead in another thread; a loop that wants the newest image only must give out the next
                request when it has the last answer.
            steadiness: how `steady_outcome` follows; None as the model was calibrated.
            timeout_s: longest life of the whole stream in seconds.

        Raises:
            DetectorError: the stream itself broke; connect again by calling `stream` again.
            Exception: whatever `requests` raises.
        """
        source = _Source(requests, steadiness)
        call = self._stub.StreamIsSuccess(source, timeout=timeout_s, metadata=self._connection.metadata)
        try:
            for answer in call:
                yield self._outcome(answer)
        except grpc.RpcError as error:
            if source.error is None:
                raise self._connection.error(error) from error
        finally:
            call.cancel()
        if source.error is not None:
            raise source.error

    def report_outcome(self, request_id: str, success: bool, source: OutcomeSource) -> bool:
        """Tell what really happened in an attempt that was asked about, as a person or a simulator saw it.

        Args:
            request_id: `RemoteVerdict.request_id`.
            success: whether the instruction was carried out.
            source: who says so.

        Returns:
            Whether the server still remembers its answer; the outcome is kept either way.

        Raises:
            DetectorError: the outcome is not kept; the subclass says why.
        """
        answer = self._call(self._stub.ReportOutcome, outcome_message(request_id, success, source), None)
        return bool(answer.known)

    def model(self) -> RemoteModel:
        """Ask which model gives the verdicts.

        Raises:
            DetectorError: the server does not say; `DetectorUnavailableError` while its model is being loaded.
        """
        return self._model(self._timeout_s, wait=False)

    def wait_ready(self, timeout_s: float) -> RemoteModel:
        """Wait until a server is there and its model is ready, at most `timeout_s` seconds.

        Raises:
            DetectorUnavailableError: that did not happen in time.
        """
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            try:
                return self._model(remaining_s, wait=True)
            except DetectorUnavailableError:
                time.sleep(max(0.0, min(POLL_S, deadline - time.monotonic())))
            except DeadlineMissedError:
                break
        raise not_ready(self._connection.address, timeout_s)

    def _model(self, timeout_s: float, *, wait: bool) -> RemoteModel:
        return model_value(self._call(self._stub.GetModel, pb.GetModelRequest(), timeout_s, wait=wait))

    def _call(self, method: Callable[..., A], request: Message, timeout_s: float | None, *, wait: bool = False) -> A:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            return method(request, timeout=limit_s, wait_for_ready=wait, metadata=self._connection.metadata)
        except grpc.RpcError as error:
            raise self._connection.error(error) from error

    def _settled(self, call: grpc.Future) -> RemoteVerdict | DetectorError:
        try:
            return verdict_value(call.result())
        except grpc.RpcError as error:
            return self._connection.error(error)

    def _outcome(self, answer: pb.StreamIsSuccessResponse) -> RemoteVerdict | DetectorError:
        if answer.WhichOneof("outcome") == "response":
            return verdict_value(answer.response)
        return self._connection.failure(answer.failure)


class _Source(Iterator[pb.StreamIsSuccessRequest]):
    """The requests as messages; gRPC reads them in its own thread and would hide what they raise."""

    def __init__(self, requests: Iterable[Request], steadiness: Steadiness | None) -> None:
        self._requests = iter(requests)
        self._steadiness = steadiness
        self.error: Exception | None = None

    def __next__(self) -> pb.StreamIsSuccessRequest:
        try:
            return stream_message(next(self._requests), self._steadiness)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise StopIteration from error
