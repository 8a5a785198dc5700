"""Verdicts back to where recordings are: sidecars beside them, tables in LeRobot datasets, copies of HDF5 files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robo_episodes.episode import Episode
from robo_episodes.errors import ConfigError, RecordingError, UnreadableError
from robo_episodes.hdf5_copy import write_copy
from robo_episodes.layout import Layout
from robo_episodes.lerobot_meta import is_dataset, open_dataset
from robo_episodes.lerobot_progress import NAME, progress_table, write_progress
from robo_episodes.recording import Recording
from robo_episodes.recordings import read, recognised
from robo_episodes.sidecars import Form, mirrored, recording_of, sidecar_of, write_sidecar
from robo_episodes.verdicts import VerdictRow


@dataclass
class Annotated:
    """What was written, and why the rest was not."""

    written: dict[Path, int] = field(default_factory=dict)
    """File to its number of rows."""
    problems: list[str] = field(default_factory=list)


def write_sidecars(rows: Iterable[VerdictRow], form: Form, out: Path | None = None) -> Annotated:
    """Write every recording's verdicts beside it, or to the same place below `out`.

    Raises:
        RecordingError: nothing could be written.
    """

    def write(recording: Path, rows: Sequence[VerdictRow]) -> tuple[Path, int]:
        path = sidecar_of(recording, form, out)
        return path, write_sidecar(path, rows)

    return _each(rows, write)


def write_lerobot(
    rows: Iterable[VerdictRow], layouts: Sequence[Layout], judge: str | None = None, out: Path | None = None
) -> Annotated:
    """Write one judge's verdicts into every LeRobot dataset as a progress table.

    Args:
        rows: verdicts; those on recordings of other formats are problems.
        layouts: with which the episodes were read.
        judge: whose verdicts; may be left out where there is one judge.
        out: folder below which the tables are written, instead of into the datasets.

    Raises:
        ConfigError: there are several judges, or not the one that is named.
        RecordingError: nothing could be written.
    """
    chosen = _of_one_judge(list(rows), judge)

    def write(root: Path, rows: Sequence[VerdictRow]) -> tuple[Path, int]:
        if not is_dataset(root):
            raise UnreadableError(f"{root}: is no LeRobot dataset; write sidecars instead")
        table = progress_table(open_dataset(root), _by_index(root, rows, layouts))
        path = mirrored(root, out) / NAME
        write_progress(path, table)
        return path, len(table)

    return _each(chosen, write)


def write_hdf5(rows: Iterable[VerdictRow], out: Path, judge: str | None = None) -> Annotated:
    """Copy every HDF5 recording to the same place below `out`, with one judge's verdicts as attributes of its episodes.

    Args:
        rows: verdicts; those on recordings of other formats are problems.
        out: folder of the copies.
        judge: whose verdicts; may be left out where there is one judge.

    Raises:
        ConfigError: there are several judges, or not the one that is named.
        RecordingError: nothing could be written.
    """
    ends = [row for row in _of_one_judge(list(rows), judge) if row.step is None]

    def write(recording: Path, rows: Sequence[VerdictRow]) -> tuple[Path, int]:
        copy = mirrored(recording.parent, out) / recording.name
        return copy, write_copy(recording, copy, rows)

    return _each(ends, write)


def _each(rows: Iterable[VerdictRow], write: Callable[[Path, Sequence[VerdictRow]], tuple[Path, int]]) -> Annotated:
    """Write recording by recording; one that fails does not stop the others."""
    result = Annotated()
    for recording, group in _by_recording(rows, result.problems).items():
        try:
            path, count = write(recording, group)
        except RecordingError as error:
            result.problems.append(str(error))
        except OSError as error:
            told = (
                f"{recording}: the verdicts cannot be written ({error.strerror}); give another folder with --out "
                "(relabel: --write-out)"
            )
            result.problems.append(told)
        else:
            result.written[path] = count
    if not result.written:
        more = f" (and {len(result.problems) - 3} more)" if len(result.problems) > 3 else ""
        reasons = "; ".join(result.problems[:3]) or "the file holds no verdict"
        raise RecordingError(f"nothing was written: {reasons}{more}")
    return result


def _by_recording(rows: Iterable[VerdictRow], problems: list[str]) -> dict[Path, list[VerdictRow]]:
    """Group verdicts by recording, those whose recording is not there left out and told once."""
    places: dict[str, Path | None] = {}
    groups: dict[Path, list[VerdictRow]] = {}
    for row in rows:
        if row.source not in places:
            try:
                places[row.source] = recording_of(row.source)
            except UnreadableError as error:
                places[row.source] = None
                problems.append(str(error))
        place = places[row.source]
        if place is not None:
            groups.setdefault(place, []).append(row)
    return groups


def _of_one_judge(rows: Sequence[VerdictRow], judge: str | None) -> list[VerdictRow]:
    judges = sorted({row.judged_by for row in rows})
    if judge is None and len(judges) > 1:
        raise ConfigError(f"there are verdicts of {', '.join(judges)}; choose one with --judge")
    if judge is not None and judge not in judges:
        raise ConfigError(f"--judge {judge}: there are verdicts of {', '.join(judges) or 'nobody'}")
    return [row for row in rows if judge is None or row.judged_by == judge]


def _by_index(root: Path, rows: Sequence[VerdictRow], layouts: Sequence[Layout]) -> Mapping[int, list[VerdictRow]]:
    """Group verdicts by episode index, by the episodes' ids: an episode that changed since has another one."""
    recording = recognised(root, f"/{root.name}", layouts)
    if not isinstance(recording, Recording):
        raise UnreadableError(f"{root}: no layout reads it any more" if recording is None else recording.text)
    found = {item.id: item.metadata.get("episode_index") for item in read(recording) if isinstance(item, Episode)}
    groups: dict[int, list[VerdictRow]] = {}
    for row in rows:
        index = found.get(row.episode_id)
        if not isinstance(index, int):
            raise UnreadableError(
                f"{root}: has no episode {row.episode_id}; it changed after it was judged: judge it again"
            )
        groups.setdefault(index, []).append(row)
    return groups
