"""What the server needs of a detector, and how it gets one from a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from robo_dialog.detect.verdict import Request, Verdict

if TYPE_CHECKING:
    from robo_dialog.detect.detector import Prepared


class Judge(Protocol):
    """Gives verdicts in two steps; `prepare` is called in several threads at once, `judge` in one."""

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
        """
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
    calibration_method: str = ""
    base_model: str = ""
    pool_digest: str = ""
    dialogs_digest: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the evaluation at the time of export."""


@dataclass(frozen=True)
class Model:
    """A loaded model, warmed up."""

    info: ModelInfo
    judge: Judge


def load_model(bundle: Path, threads: int | None) -> Model:
    """Load a bundle; its golden samples are judged on the way, which is the warm-up too.

    Args:
        bundle: the bundle's folder.
        threads: CPU threads for one run of the model; by default the cores that this process may use.

    Raises:
        BundleError: the bundle is incomplete, altered, of another version, or gives other scores than it should.
    """
    from robo_dialog.detect.detector import Detector

    detector = Detector.load(bundle, threads=threads)
    manifest, lineage = detector.manifest, detector.manifest.lineage
    info = ModelInfo(
        name=manifest.name,
        digest=detector.digest,
        loaded_at=datetime.now(UTC),
        bundle_schema_version=manifest.schema_version,
        threshold=detector.calibration.threshold,
        image_size=detector.preprocessing.image_size,
        calibration_method=detector.calibration.method,
        base_model=lineage.base_model,
        pool_digest=lineage.pool_digest,
        dialogs_digest=lineage.dialogs_digest,
        metrics=lineage.metrics,
    )
    return Model(info, detector)
