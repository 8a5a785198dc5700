"""The stage of ingest: the wanted frames of a shard's episodes, as the messages in which workers send them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.recording import Recording
from robo_episodes.stages.reading import Source, shards
from robo_episodes.stages.stage import Executor, Shard, Work, address
from robo_episodes.taken import Known, TakenEpisode
from robo_episodes.workers.crew import Crew
from robo_episodes.workers.forms import from_taken, to_taken
from robo_episodes.workers.isolated import Known_of
from robo_episodes.workers.wire import Inbox, pieces

Answer: TypeAlias = tuple[int, TakenEpisode | EpisodeWarning]
"""An episode, or why there is none, with its ordinal in the recording."""


@dataclass(frozen=True)
class Taking:
    """Everything that says what is taken; it travels to the workers."""

    source: Source

    @contextmanager
    def open(self, cores: int) -> Iterator[Work]:
        """Start to read; see `Stage.open`."""
        with self.source.crew(cores) as crew:
            yield lambda content: b"".join(self._pieces(content, crew))

    def _pieces(self, content: str, crew: Crew) -> Iterator[bytes]:
        known = {Path(path): some for path, some in json.loads(content)["known"].items()}
        for number, answers in enumerate(self.source.numbered(content, crew, only=known)):
            for ordinal, one in answers:
                told, blobs = from_taken(one)
                yield from pieces({**told, "recording": number, "ordinal": ordinal}, blobs)


def taken_by(
    executor: Executor, recordings: Iterable[Recording], source: Source, known_of: Known_of
) -> Iterator[Iterator[TakenEpisode | EpisodeWarning]]:
    """Yield, for each recording in turn, what `workers.isolated.read` would, whoever does the reading.

    Args:
        executor: where it is done.
        recordings: from a scan; their layouts are those of the source.
        source: how they are read.
        known_of: frames that need not be read.
    """
    recordings = tuple(recordings)
    known = {str(recording.path): _plain(known_of(recording)) for recording in recordings}
    cut = [_knowing(shard, known) for shard in shards(recordings, source.identity)]
    together: list[list[Answer]] = []
    for shard, result in zip(cut, executor.run(Taking(source), cut), strict=True):
        told = json.loads(shard.content)
        part, parts = told["part"]
        found = _answers(result, len(told["recordings"]))
        if parts > 1:  # episodes of a large recording, dealt out in turn
            together += found
            found = [list(heapq.merge(*together, key=itemgetter(0)))] if part == parts - 1 else []
            together = together if part < parts - 1 else []
        for answers in found:
            yield (one for _, one in answers)


def _plain(known: Mapping[str, Known]) -> dict[str, Json]:
    return {episode: {camera: list(steps) for camera, steps in all_.items()} for episode, all_ in known.items()}


def _knowing(shard: Shard, known: Mapping[str, dict[str, Json]]) -> Shard:
    """The shard with the frames that need not be read, for each of its recordings."""
    told = json.loads(shard.content)
    first_files = (next(iter(form["files"].values())) for form in told["recordings"])
    content = json.dumps({**told, "known": {path: known[path] for path in first_files}}, ensure_ascii=False)
    return Shard(address(shard.key, content), content)


def _answers(result: bytes, recordings: int) -> Sequence[list[Answer]]:
    """What a worker found, for each recording of the shard."""
    found: list[list[Answer]] = [[] for _ in range(recordings)]
    for message in Inbox().feed(result):
        number, ordinal = message.content["recording"], message.content["ordinal"]
        found[int(number)].append((int(ordinal), to_taken(message)))  # type: ignore[arg-type]
    return found
