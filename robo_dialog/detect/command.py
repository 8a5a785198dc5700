"""`robo-dialog detect`: a verdict on image files or the last frames of videos, without a server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from robo_dialog.detect.verdict import Frame
from robo_dialog.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from robo_dialog.detect.verdict import Verdict

_VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
_RECORDINGS = frozenset({".h5", ".hdf5", ".mcap", ".parquet", ".tfrecord"})


@dataclass(frozen=True)
class Detect:
    """Say whether images show that a task was done. All of them are views of one attempt's end."""

    frames: tyro.conf.Positional[tuple[Path, ...]]
    """1 to 16 files, one a camera: JPEG, PNG, or videos, of which the last frame is taken. A file's name without its
    suffix is the camera's name, for bundles that weigh cameras."""
    task: str
    """What the robot was told to do, for example "put the red cube on the plate"."""
    bundle: Path | None = None
    """Folder of the detector bundle; by default the embedded one."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Load the bundle, judge the frames, print the verdict."""
        frames = [_read(path) for path in self.frames]
        from robo_dialog.detect.detector import Detector
        from robo_dialog.models import embedded_bundle

        started = time.perf_counter()
        detector = Detector.load(self.bundle or embedded_bundle())
        loaded = time.perf_counter()
        try:
            verdict = detector.verdict(frames, self.task)
        except RequestError as error:
            raise self._named(error) from error
        seconds = {"load": loaded - started, "verdict": time.perf_counter() - loaded}
        milliseconds = {key: round(1000 * value, 3) for key, value in seconds.items()}
        if self.json:
            print(json.dumps(_as_json(verdict, milliseconds)))
        else:
            self._print(verdict, milliseconds)
        return 0

    def _named(self, error: RequestError) -> RequestError:
        """The same refusal with the user's own word for the field: the file's name, or the option."""
        for k, path in enumerate(self.frames):
            if error.field == f"frames[{k}].image":
                return RequestError(str(path), error.reason)
        return RequestError({"instruction": "--task", "frames": "FRAMES"}.get(error.field, error.field), error.reason)

    def _print(self, verdict: Verdict, milliseconds: dict[str, float]) -> None:
        from rich.console import Console
        from rich.table import Table

        console = Console()
        colour = {"SUCCESS": "green", "FAILURE": "red"}.get(verdict.outcome, "yellow")
        console.print(
            f"[bold {colour}]{verdict.outcome}[/]  P(success) {verdict.probability:.3f}, "
            f"threshold {verdict.threshold:.3f}"
        )
        table = Table("frame", "P(success)")
        for path, probability in zip(self.frames, verdict.frame_probabilities, strict=True):
            table.add_row(path.name, f"{probability:.3f}")
        console.print(table)
        console.print(
            f"model {verdict.model_digest[:12]}, loaded in {milliseconds['load']:.0f} ms, "
            f"verdict in {milliseconds['verdict']:.1f} ms",
            style="dim",
        )


def _as_json(verdict: Verdict, milliseconds: dict[str, float]) -> dict[str, object]:
    return {
        "outcome": str(verdict.outcome),
        "probability": verdict.probability,
        "threshold": verdict.threshold,
        "frame_probabilities": list(verdict.frame_probabilities),
        "model_digest": verdict.model_digest,
        "milliseconds": milliseconds,
    }


def _read(path: Path) -> Frame:
    if path.suffix.lower() in _VIDEOS:
        return Frame(_last_frame(path), path.stem)
    if path.suffix.lower() in _RECORDINGS:
        raise ConfigError(
            f"{path}: holds many frames; read the final ones into a frame pool first: robo-dialog ingest {path}"
        )
    try:
        return Frame(path.read_bytes(), path.stem)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name JPEG, PNG or video files") from error


def _last_frame(path: Path) -> bytes:
    try:
        from robo_episodes.images import encode_png
        from robo_episodes.video import open_video
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: reading videos needs `{error.name}`; install it with: pip install 'robo-dialog[episodes]'"
        ) from error
    return encode_png(open_video(path).last(1)[-1])
