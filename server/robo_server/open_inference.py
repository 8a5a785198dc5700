"""GRPCInferenceService, the Open Inference Protocol of KServe and Triton: verdicts for their clients, on our port."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version

from grpc.aio import ServicerContext as Context

from robo_dialog.errors import RequestError, UnknownVersionError
from robo_dialog.kserve import open_inference_pb2 as oip
from robo_dialog.kserve.open_inference_pb2_grpc import GRPCInferenceServiceServicer
from robo_server.archive import Archive
from robo_server.calls import CURRENT
from robo_server.errors import DeadlineError
from robo_server.pipeline import Pipeline
from robo_server.tensors import INPUTS, OUTPUTS, outputs_of, questions_of
from robo_server.translate import REQUEST_ID

MODEL = "success_detector"
"""The one model that there is, whatever bundle it comes from; its version is the bundle's digest."""


class OpenInference(GRPCInferenceServiceServicer):
    """Answers the methods of the protocol.

    Args:
        pipeline: gives the verdicts.
        deadline_s: longest time for one call, in seconds.
        archive: keeps requests; None keeps nothing.
    """

    def __init__(self, pipeline: Pipeline, *, deadline_s: float, archive: Archive | None = None) -> None:
        self._pipeline = pipeline
        self._deadline_s = deadline_s
        self._archive = archive

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:  # noqa: N802
        """Whoever answers is alive."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:  # noqa: N802
        """Whether a model is loaded."""
        return oip.ServerReadyResponse(ready=self._pipeline.current is not None)

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:  # noqa: N802
        """Whether the model is loaded."""
        current = self._pipeline.current
        is_it = current is not None and request.name == MODEL and request.version in ("", current.digest)
        return oip.ModelReadyResponse(ready=is_it)

    async def ServerMetadata(  # noqa: N802
        self, request: oip.ServerMetadataRequest, context: Context
    ) -> oip.ServerMetadataResponse:
        """Name and version of this program."""
        return oip.ServerMetadataResponse(name="robo-dialog", version=version("robo-dialog"))

    async def ModelMetadata(  # noqa: N802
        self, request: oip.ModelMetadataRequest, context: Context
    ) -> oip.ModelMetadataResponse:
        """The tensors that the model takes and gives."""
        digest = self._require(request.name, request.version, "name")
        return oip.ModelMetadataResponse(
            name=MODEL, versions=[digest], platform="robo-dialog", inputs=INPUTS, outputs=OUTPUTS
        )

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:  # noqa: N802
        """Verdicts on all attempts of a request, judged together."""
        digest = self._require(request.model_name, request.model_version, "model_name")
        questions = questions_of(request)
        call = CURRENT.get()
        call.frames, call.size_bytes = sum(len(question.frames) for question in questions), request.ByteSize()
        call.request_id = request.id if REQUEST_ID.fullmatch(request.id) else call.request_id
        remaining_s = context.time_remaining()
        limit_s = self._deadline_s if remaining_s is None else min(self._deadline_s, remaining_s)
        deadline = time.monotonic() + limit_s
        try:
            async with asyncio.timeout(limit_s) as timer:
                judged = await asyncio.gather(*(self._pipeline.judge(question, deadline) for question in questions))
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise DeadlineError("the verdicts were not ready within the deadline") from error
        if self._archive is not None:
            for place, (question, one) in enumerate(zip(questions, judged, strict=True)):
                name = call.request_id if len(judged) == 1 else f"{call.request_id[:60]}.{place}"
                self._archive.keep(name, question, one.verdict, one.verdict.model_digest[:16])
        outputs, contents = outputs_of(request, [one.verdict for one in judged])
        return oip.ModelInferResponse(
            model_name=MODEL, model_version=digest, id=request.id, outputs=outputs, raw_output_contents=contents
        )

    def _require(self, name: str, wanted: str, field: str) -> str:
        """The version that serves.

        Raises:
            RequestError: another model is meant.
            UnknownVersionError: another version is meant.
            NotServingError: no model is loaded yet.
        """
        if name != MODEL:
            raise RequestError(field, f"must be {MODEL}")
        digest = self._pipeline.info.digest
        if wanted not in ("", digest):
            raise UnknownVersionError(f"version {wanted[:64]} is not served; leave the version out for the one that is")
        return digest
