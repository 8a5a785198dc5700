"""An episode as it was read: what the recording says, and the frames that were taken of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robo_episodes.episode import Episode, EpisodeWarning, FrameSource, Json, Trust
from robo_episodes.images import encode_png
from robo_episodes.selection import Selection

Known = Mapping[str, Sequence[int]]
"""Camera to the steps that are not wanted again."""


@dataclass(frozen=True)
class TakenFrame:
    """One frame, encoded."""

    step: int | None
    """0 is the camera's first frame; None where the camera's length is unknown."""
    from_end: int | None
    """0 is the camera's final frame; None where the length is unknown."""
    png: bytes


@dataclass(frozen=True)
class TakenCamera:
    """What was taken of one camera."""

    length: int | None
    """Number of frames that it has; None where only a full read would tell."""
    wanted: int
    """Number of frames that were asked for, those that are known included."""
    shape: tuple[int, int] | None
    """(height, width) in pixels; None where no frame was decoded."""
    brightest: int | None
    """Largest value, of 255, of the final frame; None where no frame was decoded."""
    frames: tuple[TakenFrame, ...] = field(repr=False)
    """Empty where all are known, or where only their properties were asked for."""


@dataclass(frozen=True)
class TakenEpisode:
    """One attempt at one instruction; the fields are those of `Episode`."""

    id: str
    source: str
    layout: str
    instruction: str | None
    success: bool | None
    trust: Trust
    metadata: Mapping[str, Json]
    warnings: tuple[EpisodeWarning, ...]
    cameras: Mapping[str, TakenCamera]


def take(
    episode: Episode, selection: Selection, known: Known, *, encode: bool, compress: bool = True
) -> TakenEpisode | EpisodeWarning:
    """Read the wanted frames of all wanted cameras: half an episode would pass for a whole one.

    Args:
        episode: from a reader.
        selection: which frames.
        known: frames of this episode that need not be read.
        encode: whether the frames themselves are wanted; otherwise only their size and brightness.
        compress: whether they are encoded as pools hold them; see `encode_png`.

    Raises:
        UnreadableError: a frame cannot be read.
    """
    names = [name for name in episode.cameras if not selection.cameras or name in selection.cameras]
    if episode.cameras and not names:
        text = f"none of the wanted cameras; it has {', '.join(episode.cameras)}"
        return EpisodeWarning(episode.id, "no_camera", text)

    def taken(name: str) -> TakenCamera:
        source, known_steps = episode.cameras[name], known.get(name, ())
        return _camera(source, selection, known_steps, encode=encode, compress=compress)

    return TakenEpisode(
        id=episode.id,
        source=episode.source,
        layout=episode.layout,
        instruction=episode.instruction,
        success=episode.success,
        trust=episode.trust,
        metadata=episode.metadata,
        warnings=episode.warnings,
        cameras={name: taken(name) for name in names},
    )


def _camera(
    source: FrameSource, selection: Selection, known: Sequence[int], *, encode: bool, compress: bool
) -> TakenCamera:
    length = source.length
    if length is not None and known and set(selection.steps(length)) <= set(known):
        return TakenCamera(length, wanted=len(selection.steps(length)), shape=None, brightest=None, frames=())
    images = list(selection.read(source))
    final = images[-1][0]
    encoded = ((step, from_end, encode_png(image, compress=compress)) for image, step, from_end in images)
    frames = [TakenFrame(*one) for one in encoded] if encode else []
    height, width, _ = final.shape
    return TakenCamera(length, len(images), (height, width), int(final.max()), tuple(frames))
