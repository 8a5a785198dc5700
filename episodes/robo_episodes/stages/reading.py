"""Recordings cut into shards, and a shard's episodes read: the part that all stages over recordings have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from robo_episodes.documents import DOCUMENTS, VERDICTS
from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.layout import Layout, from_fields, to_fields
from robo_episodes.lerobot_progress import NAME as PROGRESS
from robo_episodes.recording import Recording
from robo_episodes.selection import Selection
from robo_episodes.stages.stage import Shard, address
from robo_episodes.taken import Known, TakenEpisode
from robo_episodes.workers.crew import Crew
from robo_episodes.workers.forms import from_recording, to_recording
from robo_episodes.workers.isolated import size
from robo_episodes.workers.limits import Limits
from robo_episodes.workers.tasks import Reading

SHARD_BYTES = 256 << 20
"""Size from which a recording is cut into shards of its own, each with every n-th episode."""
SHARD_RECORDINGS = 128
"""Smaller recordings in a shard, on average."""
_OURS = (VERDICTS, PROGRESS)
"""Ends of the names of files that robo-dialog itself writes into data sets and beside recordings."""


@dataclass(frozen=True)
class Source:
    """How episodes are read, in values that can travel to a worker."""

    layouts: str
    """JSON of the layouts, the first that fits is taken."""
    selection: Selection
    limits: Limits
    instruction: str | None = None
    """Instruction of episodes whose recording holds none."""

    @classmethod
    def of(
        cls, layouts: Iterable[Layout], selection: Selection, limits: Limits, instruction: str | None = None
    ) -> Source:
        """Return the source with these layouts."""
        return cls(json.dumps([to_fields(layout) for layout in layouts]), selection, limits, instruction)

    @property
    def identity(self) -> str:
        """What tells its episodes from those of other sources; limits do not."""
        return json.dumps([json.loads(self.layouts), asdict(self.selection), self.instruction], sort_keys=True)

    def crew(self, workers: int) -> Crew:
        """Return workers that read."""
        return Crew(map(from_fields, json.loads(self.layouts)), workers=workers, limits=self.limits)

    def episodes(
        self,
        content: str,
        crew: Crew,
        *,
        frames: bool = True,
        compress: bool = True,
        only: Mapping[Path, Mapping[str, Known]] | None = None,
    ) -> Iterator[TakenEpisode | EpisodeWarning]:
        """Yield a shard's episodes, and a warning in place of each that cannot be read.

        Args:
            content: of the shard.
            crew: does the reading; from `crew`.
            frames: whether frames are wanted, encoded; otherwise episodes have no cameras.
            compress: whether they are encoded as pools hold them; see `encode_png`.
            only: recordings that are read, by their first file, with the frames that need not be; None: all.
        """
        for answers in self.numbered(content, crew, frames=frames, compress=compress, only=only):
            yield from (answer for _, answer in answers)

    def numbered(
        self,
        content: str,
        crew: Crew,
        *,
        frames: bool = True,
        compress: bool = True,
        only: Mapping[Path, Mapping[str, Known]] | None = None,
    ) -> Iterator[Iterator[tuple[int, TakenEpisode | EpisodeWarning]]]:
        """Yield, for each recording of a shard that is read, what `episodes` does, with ordinals."""
        told: dict[str, Any] = json.loads(content)
        first, of = told["part"]
        shares = crew.workers if of > 1 else 1
        recordings = (to_recording(form, crew.layouts) for form in told["recordings"])
        groups = (
            [
                Reading(
                    recording,
                    self.selection,
                    encode=True,
                    instruction=self.instruction,
                    known={} if only is None else only[recording.path],
                    part=first + of * share,
                    parts=of * shares,
                    compress=compress,
                    frames=frames,
                )
                for share in range(shares)
            ]
            for recording in recordings
            if only is None or recording.path in only
        )
        return crew.numbered(groups)


def shards(recordings: Iterable[Recording], identity: str) -> Iterator[Shard]:
    """Cut recordings into shards: large ones into several, small ones together.

    Where a shard of small recordings ends depends on the recordings themselves, so that in a folder that has grown only
    the shards with new recordings are other ones.

    Args:
        recordings: from a scan, in its order.
        identity: everything else that results depend on.
    """
    waiting: list[dict[str, Json]] = []
    documents = lru_cache(maxsize=4096)(_documents)
    for recording in recordings:
        form = {**from_recording(recording), "state": _state(recording, documents)}
        parts = -(-size(recording) // SHARD_BYTES)
        if parts > 1:
            yield from _closed(waiting, identity)
            yield from (_shard([form], (part, parts), identity) for part in range(parts))
            continue
        waiting.append(form)
        if int(address(json.dumps(form))[:8], 16) % SHARD_RECORDINGS == 0 or len(waiting) == 4 * SHARD_RECORDINGS:
            yield from _closed(waiting, identity)
    yield from _closed(waiting, identity)


def _closed(waiting: list[dict[str, Json]], identity: str) -> Iterator[Shard]:
    if waiting:
        yield _shard(waiting, (0, 1), identity)
        waiting.clear()


def _shard(forms: list[dict[str, Json]], part: tuple[int, int], identity: str) -> Shard:
    told: Mapping[str, object] = {"part": part, "recordings": forms}
    content = json.dumps(told, ensure_ascii=False)
    return Shard(address(identity, content), content)


def _state(recording: Recording, documents: Callable[[Path], Json]) -> list[Json]:
    """Return bytes and time of the last change of the files, and of the documents that may tell of them."""
    levels = max(0, recording.place.count("/") - 2)
    folders = [recording.path.parent, *list(recording.path.parent.parents)[:levels]]
    return [*map(_stamp, recording.files.values()), *map(documents, folders)]


def _stamp(path: Path) -> Json:
    return _joined(path.rglob("*") if path.is_dir() else [path])


def _documents(folder: Path) -> Json:
    return _joined(path for path in folder.iterdir() if path.suffix.lower() in DOCUMENTS)


def _joined(paths: Iterable[Path]) -> Json:
    states = [path.stat() for path in paths if not path.name.endswith(_OURS) and path.is_file()]
    return [sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)]
