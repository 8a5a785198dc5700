"""What the server needs of a detector, and how it gets one from a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from robo_dialog.detect.graph import SCORER
from robo_dialog.detect.manifest import Lineage
from robo_dialog.detect.verdict import Request, Verdict
from robo_server.steady import Steadiness

if TYPE_CHECKING:
    from robo_dialog.detect.conclude import Prepared
    from robo_dialog.detect.signature import Signer


Worker: TypeAlias = Literal["auto", "thread", "process"]
"""Where a graph runs: in a thread of the server, or in a process of its own, whose end frees all that CUDA took; `auto`
is a process where there is a GPU."""


class Judge(Protocol):
    """Gives verdicts in two steps; `prepare` is called in several threads at once, `judge` in some."""

    def weigh(self, request: Request) -> int:
        """How much work a request is at most, in questions about one frame, >= 1."""
        ...

    def prepare(self, request: Request) -> Prepared:
        """Check, decode and tokenise one request.

        Raises:
            RequestError: the request is not acceptable.
        """
        ...

    def judge(self, prepared: Sequence[Prepared]) -> list[Verdict]:
        """Verdicts on prepared requests, in their order.

        Raises:
            ModelError: the model gave no usable number.
            NotServingError: the process that runs the model ended meanwhile.
        """
        ...

    def close(self) -> None:
        """Free the model; nothing is judged any more."""
        ...


@dataclass(frozen=True)
class ModelInfo:
    """What a client may know of the model."""

    name: str
    digest: str
    """Digest of the bundle: the same digest gives the same verdicts."""
    loaded_at: datetime
    bundle_schema_version: int
    threshold: float
    """Default probability around which SUCCESS and FAILURE part, in [0, 1]."""
    image_size: int
    """Side of the square that the model sees, in pixels."""
    steadiness: Steadiness
    """How steady verdicts of streams follow, unless the stream says otherwise."""
    calibration_method: str = ""
    lineage: Lineage = field(default_factory=Lineage)


@dataclass(frozen=True)
class Model:
    """A loaded model, warmed up."""

    info: ModelInfo
    judge: Judge
    runners: int = 1
    """How many batches are judged at the same time."""


def load_model(
    bundle: Path, threads: int | None = None, worker: Worker = "auto", signer: Signer | None = None
) -> Model:
    """Load a bundle; its golden samples are judged on the way, which is the warm-up too.

    Args:
        bundle: the bundle's folder.
        threads: CPU threads for one run of the model; by default all cores for a large one, and one for a small one, of
            which as many batches run at the same time as there are cores.
        worker: where the graph runs.
        signer: who must have signed the bundle; by default nobody.

    Raises:
        BundleError: the bundle is incomplete, altered, of another version, not signed, or gives other scores.
    """
    from robo_dialog.detect.detector import Detector
    from robo_dialog.detect.session import OnnxSession, available_threads, has_gpu, runs_at_once
    from robo_server.worker_session import WorkerSession

    is_apart = worker == "process" or (worker == "auto" and has_gpu())
    cores = available_threads()
    each = threads or cores // (1 if is_apart else runs_at_once(bundle / SCORER, cores))
    open_session = WorkerSession if is_apart else OnnxSession
    detector = Detector.load(bundle, threads=each, open_session=open_session, signer=signer)
    manifest = detector.manifest
    info = ModelInfo(
        name=manifest.name,
        digest=detector.digest,
        loaded_at=datetime.now(UTC),
        bundle_schema_version=manifest.schema_version,
        threshold=detector.calibration.threshold,
        image_size=detector.preprocessing.image_size,
        steadiness=Steadiness(detector.calibration.hysteresis, detector.calibration.hold),
        calibration_method=detector.calibration.method,
        lineage=manifest.lineage,
    )
    return Model(info, detector, runners=1 if is_apart else max(1, cores // each))
