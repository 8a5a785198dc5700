"""Success verdicts on images, without torch and without a server.

`Detector` needs the extra `[serve]` (OpenCV, ONNX Runtime, tokenizers) and is imported at first use, so that the base
install, which has only the gRPC client, can import this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robo_dialog.detect.verdict import Frame, Outcome, Request, Verdict

if TYPE_CHECKING:
    from robo_dialog.detect.detector import Detector

__all__ = ["Detector", "Frame", "Outcome", "Request", "Verdict"]


def __getattr__(name: str) -> object:
    if name != "Detector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from robo_dialog.detect.detector import Detector

    return Detector
