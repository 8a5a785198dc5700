"""From recordings to a frame pool: the final frames of every episode, and the first one if wanted."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.errors import RecordingError, UnreadableError
from robo_episodes.pool import POOL_JSON, FramePool
from robo_episodes.pool_index import PoolIndex
from robo_episodes.pool_metadata import add_metadata
from robo_episodes.pool_rows import FrameRow, frame_id
from robo_episodes.pool_writer import SHARD_ROWS, writing
from robo_episodes.recording import Recording
from robo_episodes.recordings import Scan
from robo_episodes.report import OnProgress, Report, episodes_of
from robo_episodes.selection import Selection
from robo_episodes.taken import Known, TakenEpisode
from robo_episodes.workers import isolated
from robo_episodes.workers.crew import Crew
from robo_episodes.workers.isolated import Known_of

Reader: TypeAlias = Callable[[Iterable[Recording], Known_of], Iterator[Iterator[TakenEpisode | EpisodeWarning]]]
"""Reads recordings, but for the frames that are known; see `workers.isolated.read`."""


@dataclass(frozen=True)
class Ingested:
    """What an ingest did."""

    report: Report
    """Its frames are those that belong in the pool, those that were there before included."""
    added: int
    """Number of rows that the pool did not have."""


def ingest(
    found: Scan,
    pool: Path,
    selection: Selection,
    *,
    instruction: str | None = None,
    on_progress: OnProgress = lambda progress: None,
    shard_rows: int = SHARD_ROWS,
    crew: Crew | None = None,
    reader: Reader | None = None,
) -> Ingested:
    """Add the selected frames to the pool, leaving out what it has; an interrupted run is continued by the same call.

    Args:
        found: from a scan.
        pool: folder of the pool.
        selection: which frames.
        instruction: of episodes whose recording holds none.
        on_progress: see `OnProgress`.
        shard_rows: rows of a shard.
        crew: does the reading; None: workers of its own, one a processor core.
        reader: does it in place of a crew.

    Raises:
        RecordingError: no episode could be read, or none has the wanted cameras.
        PoolError: the pool is damaged or in use.
    """
    report = Report(warnings=list(found.problems))
    metadata: dict[str, Mapping[str, Json]] = {}
    with writing(pool, shard_rows) as writer, _reading(found, selection, instruction, crew, reader) as read:
        added = 0
        for one in _episodes(found, read, writer.index, report, on_progress):
            added += sum(writer.add(row) for row in _rows_of(one))
            metadata[one.id] = one.metadata
        _check_any(report, selection)
        add_metadata(pool, metadata)
    report.conclude()
    return Ingested(report, added)


def dry_run(
    found: Scan,
    pool: Path,
    selection: Selection,
    *,
    instruction: str | None = None,
    on_progress: OnProgress = lambda progress: None,
    crew: Crew | None = None,
    reader: Reader | None = None,
) -> Ingested:
    """Count what `ingest` would add, and write nothing."""
    report = Report(warnings=list(found.problems))
    index = PoolIndex.of(FramePool.open(pool)) if (pool / POOL_JSON).exists() else PoolIndex()
    with _reading(found, selection, instruction, crew, reader) as read:
        episodes = _episodes(found, read, index, report, on_progress)
        added = sum(index.add(row) for one in episodes for row in _rows_of(one))
        _check_any(report, selection)
    report.conclude()
    return Ingested(report, added)


@contextmanager
def _reading(
    found: Scan, selection: Selection, instruction: str | None, crew: Crew | None, reader: Reader | None
) -> Iterator[Reader]:
    """What does the reading."""
    if reader is not None:
        yield reader
        return
    own = Crew(recording.layout for recording in found.recordings)
    with nullcontext(crew) if crew else own as workers:
        yield lambda recordings, known_of: isolated.read(
            recordings, workers, selection, encode=True, instruction=instruction, known_of=known_of
        )


def _episodes(
    found: Scan, read: Reader, index: PoolIndex, report: Report, on_progress: OnProgress
) -> Iterator[TakenEpisode]:
    def known_of(recording: Recording) -> Mapping[str, Known]:
        return index.known_below(str(recording.path))

    for one in episodes_of(found.recordings, read(found.recordings, known_of), report, on_progress):
        report.warnings += [*one.warnings, *_changed(one, index)]
        report.add(one, {name: camera.wanted for name, camera in one.cameras.items()})
        yield one


def _rows_of(one: TakenEpisode) -> Iterator[FrameRow]:
    for name, camera in one.cameras.items():
        for frame in camera.frames:
            yield FrameRow(
                frame_id=frame_id(frame.png),
                png=frame.png,
                episode_id=one.id,
                camera=name,
                step=frame.step,
                steps_from_end=frame.from_end,
                instruction=one.instruction,
                success=one.success,
                source=one.source,
                trust=one.trust,
            )


def _changed(one: TakenEpisode, index: PoolIndex) -> list[EpisodeWarning]:
    """Point out that the recording now says something else than when it was ingested."""
    known = index.episodes.get(one.id)
    if known is None or (known.instruction, known.success) == (one.instruction, one.success):
        return []
    text = (
        f"the pool has instruction {known.instruction!r}, success {known.success}; the recording now says "
        f"{one.instruction!r}, {one.success}; rows are never changed: ingest into a new pool"
    )
    return [EpisodeWarning(one.id, "changed", text)]


def _check_any(report: Report, selection: Selection) -> None:
    """Refuse to end well with nothing read."""
    if report.episodes:
        return
    for warning in report.warnings:
        if warning.code == "no_camera":
            known = warning.text.rsplit("it has ", 1)[-1].split(", ")
            close = difflib.get_close_matches(selection.cameras[0], known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}"
            raise RecordingError(f"--cameras {' '.join(selection.cameras)}: no episode has such a camera; {hint}")
    raise nothing_read(report)


def nothing_read(report: Report) -> RecordingError:
    """Say why no episode could be read."""
    reasons = [warning.text for warning in report.unreadable()]
    if not reasons:
        return RecordingError(
            "no recording found: give HDF5 files, videos, data sets, bags or pictures, or folders that hold some "
            "(episodes/README.md lists the formats; pickles are never loaded)"
        )
    more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
    kind = UnreadableError if len(reasons) == 1 else RecordingError
    return kind("no episode can be read: " + "; ".join(reasons[:3]) + more)
