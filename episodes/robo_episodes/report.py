"""What was found in recordings, collected for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from robo_episodes.episode import Episode, EpisodeWarning, Json
from robo_episodes.errors import UnreadableError
from robo_episodes.recording import Recording
from robo_episodes.recordings import Scan, read

DARK = 8
"""Brightest value (of 255) up to which a frame counts as black."""


@dataclass(frozen=True)
class Seen:
    """An episode whose frames could be read."""

    episode: Episode
    frames: Mapping[str, int]
    """Number of frames a camera."""
    shapes: Mapping[str, tuple[int, int]]
    """(height, width) in pixels of every camera of which a frame was decoded."""


@dataclass
class Report:
    """Grows while recordings are read."""

    seen: list[Seen] = field(default_factory=list)
    warnings: list[EpisodeWarning] = field(default_factory=list)

    def unreadable(self) -> list[EpisodeWarning]:
        """Return the warnings about files and episodes that could not be read at all."""
        return [warning for warning in self.warnings if warning.code in ("unreadable", "unsupported")]

    def labels(self) -> dict[str, int]:
        """Count the episodes by label."""
        counts = Counter(one.episode.success for one in self.seen)
        return {"success": counts[True], "failure": counts[False], "none": counts[None]}

    def instructions(self) -> dict[str, int]:
        """Count the episodes by instruction, those without one left out."""
        texts = (one.episode.instruction for one in self.seen)
        return dict(Counter(text for text in texts if text is not None))

    def layouts(self) -> dict[str, int]:
        """Count the episodes by layout."""
        return dict(Counter(one.episode.layout for one in self.seen))

    def as_json(self) -> dict[str, Json]:
        """Return the object that `--json` prints."""
        cameras: dict[str, Json] = {}
        for name in sorted({name for one in self.seen for name in one.frames}):
            shapes = sorted({one.shapes[name] for one in self.seen if name in one.shapes})
            count = sum(one.frames.get(name, 0) for one in self.seen)
            cameras[name] = {"frames": count, "shapes": [[height, width, 3] for height, width in shapes]}
        return {
            "episodes": len(self.seen),
            "frames": sum(sum(one.frames.values()) for one in self.seen),
            "cameras": cameras,
            "labels": dict(self.labels()),
            "instructions": dict(self.instructions()),
            "layouts": dict(self.layouts()),
            "warnings": [{"episode": one.episode, "code": one.code, "text": one.text} for one in self.warnings],
        }


def survey(found: Scan, instruction: str | None, on_recording: Callable[[int], None]) -> Report:
    """Read the final frame of every camera: what can be read is counted, and black pictures are pointed out.

    Args:
        found: from `scan`.
        instruction: for episodes whose recording holds none.
        on_recording: called after each recording with the number of episodes so far.
    """
    report = Report(warnings=list(found.problems))
    for episode in episodes_of(found.recordings, instruction, report, on_recording):
        try:
            finals = {name: source.last(1)[-1] for name, source in episode.cameras.items()}
        except UnreadableError as error:
            report.warnings.append(EpisodeWarning(episode.source, "unreadable", str(error)))
            continue
        report.warnings += episode.warnings
        for name, image in finals.items():
            if image.max() < DARK:
                text = f"camera {name}: the final frame is black; leave the camera out with --cameras"
                report.warnings.append(EpisodeWarning(episode.id, "black_frame", text))
        frames = {name: source.length or 0 for name, source in episode.cameras.items()}
        shapes = {name: (image.shape[0], image.shape[1]) for name, image in finals.items()}
        report.seen.append(Seen(episode, frames, shapes))
    return report


def episodes_of(
    recordings: Iterable[Recording], instruction: str | None, report: Report, on_recording: Callable[[int], None]
) -> Iterator[Episode]:
    """Yield episodes; warnings in place of episodes, and copies of episodes seen before, go to the report."""
    sources: dict[str, str] = {}
    for recording in recordings:
        for item in read(recording, instruction):
            if isinstance(item, EpisodeWarning):
                report.warnings.append(item)
            elif item.id in sources:
                text = f"{item.source}: the same recording as {sources[item.id]}; counted once"
                report.warnings.append(EpisodeWarning(item.id, "copy", text))
            else:
                sources[item.id] = item.source
                yield item
        on_recording(len(sources))
