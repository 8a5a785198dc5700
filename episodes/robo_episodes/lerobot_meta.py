"""What a LeRobot dataset (v2.0, v2.1, v3.0) says of itself: meta/info.json, tasks and episodes.

Nothing in these files is trusted: paths that they form stay in the dataset's folder, and numbers are checked.
Source of the layout: lerobot/datasets/utils.py, lerobot/scripts/convert_dataset_v21_to_v30.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from robo_episodes import parquet
from robo_episodes.episode import EpisodeWarning, Json, readable
from robo_episodes.errors import UnreadableError
from robo_episodes.ordering import natural

INFO = "meta/info.json"
MAX_META_BYTES = 256 << 20
"""Most bytes of one file below meta/."""
MAX_FRAMES = 5_000_000
"""Most frames of one episode: two days at 30 frames a second."""
MAX_SECONDS = 1e8
"""Latest time in a video: three years."""

_VERSION = re.compile(r"v([23])\.\d+")
_FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")


@dataclass(frozen=True)
class EpisodeRow:
    """What the metadata say of one episode."""

    index: int
    length: int
    """Number of frames, at least 1."""
    values: Mapping[str, Json]
    """The row as it stands in meta/episodes."""


@dataclass(frozen=True)
class Dataset:
    """A LeRobot dataset, without its episodes."""

    root: Path
    major: int
    """2 or 3."""
    fps: float
    info: Mapping[str, Json]
    features: Mapping[str, Mapping[str, Json]]
    tasks: Mapping[int, str]

    def source(self, row: EpisodeRow) -> str:
        """Return where an episode comes from, for people and for writing verdicts back."""
        return f"{self.root}#episode_{row.index:06d}"

    def data_file(self, row: EpisodeRow) -> Path:
        """Return the Parquet file that holds the episode's rows.

        Raises:
            UnreadableError: the template or the row is wrong, or leads out of the folder.
        """
        return self._path("data_path", row, "data", {})

    def video_file(self, row: EpisodeRow, key: str) -> Path:
        """Return the video that holds the episode of one camera.

        Raises:
            UnreadableError: as `data_file`.
        """
        return self._path("video_path", row, f"videos/{key}", {"video_key": key})

    def _path(self, name: str, row: EpisodeRow, prefix: str, values: dict[str, str | int]) -> Path:
        template = self.info.get(name)
        if not isinstance(template, str):
            raise UnreadableError(f"{self.root / INFO}: `{name}` is {template!r}, expected a path with {{...}} fields")
        if self.major == 2:
            chunk = row.index // max(1, _whole(self.info, "chunks_size", 1000))
            values = {**values, "episode_index": row.index, "episode_chunk": chunk}
        else:
            chunk, file = (_whole(row.values, f"{prefix}/{part}_index") for part in ("chunk", "file"))
            values = {**values, "chunk_index": chunk, "file_index": file}
        relative = _filled(template, values)
        path = PurePosixPath(relative)
        if path.is_absolute() or ".." in path.parts or "\0" in relative:
            raise UnreadableError(f"{self.root / INFO}: `{name}` leads out of the dataset, to {relative!r}")
        return self.root / path


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a LeRobot dataset of version 2 or later."""
    try:
        with (folder / INFO).open("rb") as file:
            return b'"codebase_version"' in file.read(1 << 20)
    except OSError:
        return False


def open_dataset(root: Path) -> Dataset:
    """Read meta/info.json and the tasks.

    Raises:
        UnreadableError: they are missing or wrong, or the version is none that is read.
    """
    info = _json_object(root / INFO)
    version = _VERSION.fullmatch(str(info.get("codebase_version")))
    if version is None:
        raise UnreadableError(
            f"{root / INFO}: codebase_version {info.get('codebase_version')!r} is not read, v2.0 to v3.x are; "
            "convert the dataset with LeRobot"
        )
    fps, features = info.get("fps"), info.get("features")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0.01 <= fps <= 10_000:
        raise UnreadableError(f"{root / INFO}: fps is {fps!r}, expected frames per second")
    if not isinstance(features, dict):
        raise UnreadableError(f"{root / INFO}: features is {type(features).__name__}, expected an object")
    described = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    major = int(version[1])
    return Dataset(root, major, float(fps), info, described, _tasks(root, major))


def episode_rows(dataset: Dataset) -> Iterator[EpisodeRow | EpisodeWarning]:
    """Yield the episodes in order, and a warning in place of each whose row is wrong."""
    seen: set[int] = set()
    for item in _legacy_rows(dataset) if dataset.major == 2 else _table_rows(dataset):
        if isinstance(item, EpisodeWarning):
            yield item
            continue
        place, values = item
        try:
            index, length = _whole(values, "episode_index"), _whole(values, "length")
            if index in seen or index < 0:
                raise UnreadableError(f"episode_index {index} is there twice or negative")
            if not 0 < length <= MAX_FRAMES:
                raise UnreadableError(f"episode {index} has {length} frames, expected 1 to {MAX_FRAMES}")
        except UnreadableError as error:
            yield EpisodeWarning(place, "unreadable", f"{place}: {error}")
        else:
            seen.add(index)
            yield EpisodeRow(index, length, values)


def seconds(values: Mapping[str, Json], key: str) -> float:
    """Return a time of an episode's row.

    Raises:
        UnreadableError: it is missing, negative, above `MAX_SECONDS`, or no number.
    """
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise UnreadableError(f"{key} is {value!r}, expected seconds")
    return float(value)


def _whole(values: Mapping[str, Json], key: str, default: Json = None) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableError(f"{key} is {value!r}, expected a whole number")
    return value


def _filled(template: str, values: Mapping[str, str | int]) -> str:
    """Fill in a path template; not by str.format, which a template can make take any attribute or any memory."""
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise UnreadableError(f"the path template {template!r} has fields that are not read")

    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UnreadableError(f"the path template {template!r} has the unknown field {match[1]}")
        return str(values[match[1]]).zfill(int(match[2] or 0))

    return _FIELD.sub(one, template)


def _tasks(root: Path, major: int) -> dict[int, str]:
    """Return the instructions by their index; episodes name theirs too, so that a missing file may cost nothing."""
    rows: Iterator[Mapping[str, Json]]
    if major == 2:
        path = root / "meta" / "tasks.jsonl"
        rows = (values for _, values in _lines(path) if isinstance(values, dict)) if path.exists() else iter(())
    else:
        path = root / "meta" / "tasks.parquet"
        rows = _task_table(path) if path.exists() else iter(())
    return {
        index: text
        for row in rows
        if isinstance(index := row.get("task_index"), int) and isinstance(text := row.get("task"), str)
    }


def _task_table(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the rows of tasks.parquet, where the text is the index of a data frame, named or not."""
    with parquet.opened(path) as file:
        names = file.schema_arrow.names
    text = next((name for name in names if name != "task_index"), None)
    if text is None or "task_index" not in names:
        raise UnreadableError(f"{path}: has columns {', '.join(names)}; expected task_index and the task")
    for row in parquet.rows(path, ["task_index", text]):
        yield {"task_index": row["task_index"], "task": row[text]}


Row: TypeAlias = tuple[str, Mapping[str, Json]]
"""Where a row stands, and its values."""


def _legacy_rows(dataset: Dataset) -> Iterator[Row | EpisodeWarning]:
    for place, values in _lines(dataset.root / "meta" / "episodes.jsonl"):
        if isinstance(values, dict):
            yield place, values
        else:
            yield EpisodeWarning(place, "unreadable", f"{place}: is no JSON object")


def _table_rows(dataset: Dataset) -> Iterator[Row | EpisodeWarning]:
    folder = dataset.root / "meta" / "episodes"
    files = sorted(folder.glob("chunk-*/file-*.parquet"), key=lambda path: natural(str(path)))
    if not files:
        raise UnreadableError(f"{folder}: holds no table of episodes; download meta/ again")
    for path in files:
        try:
            with parquet.opened(path) as file:
                # Statistics of every feature, which may be large.
                names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
            for values in parquet.rows(path, names):
                yield f"{path}#{values.get('episode_index')}", values
        except UnreadableError as error:
            yield EpisodeWarning(str(path), "unreadable", str(error))


def _json_object(path: Path) -> dict[str, Json]:
    try:
        content = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UnreadableError(f"{path}: holds {type(content).__name__}, expected an object")
    return content


def _lines(path: Path) -> Iterator[tuple[str, Json]]:
    """Yield place and content of every line of a JSONL file; None for a line that is no JSON."""
    for number, line in enumerate(_content(path).splitlines(), start=1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"{path}:{number}", None


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_META_BYTES:
            raise UnreadableError(f"{path}: has {path.stat().st_size} bytes; the limit is {MAX_META_BYTES}")
        return readable(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read ({error}); download meta/ again") from error
