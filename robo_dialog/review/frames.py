"""First and final frames of chosen episodes, read from their recordings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from robo_dialog.relabel.folder import LabelsFolder
from robo_dialog.relabel.rows import LabelRow, shard_of
from robo_episodes.stages.reading import Source
from robo_episodes.taken import Known, TakenEpisode


@dataclass(frozen=True)
class Pictures:
    """What one camera shows, as PNG."""

    camera: str
    first: bytes | None
    """None where it has a single frame."""
    final: bytes


def pictures(folder: LabelsFolder, chosen: Collection[LabelRow], source: Source) -> dict[str, tuple[Pictures, ...]]:
    """Pictures by the `source` of episodes; those whose recordings cannot be read any more are left out.

    Args:
        folder: of labels.
        chosen: rows of it.
        source: how its episodes are read; with first frames.
    """
    wanted = {row.source for row in chosen}
    found: dict[str, tuple[Pictures, ...]] = {}
    with source.crew(0) as crew:
        for part in folder.parts():
            only = _recordings(folder.rows_of(part), wanted)
            for one in source.episodes(shard_of(part), crew, only=only) if only else ():
                if isinstance(one, TakenEpisode) and one.source in wanted:
                    found[one.source] = tuple(_pictures(one))
    return found


def _recordings(rows: Iterator[LabelRow], wanted: Collection[str]) -> Mapping[Path, Mapping[str, Known]]:
    """Recordings with wanted episodes, and the frames of their other episodes, which need not be read."""
    found: dict[Path, dict[str, Known]] = {}
    unwanted: dict[Path, dict[str, Known]] = {}
    for row in rows:
        path = Path(row.source.rpartition("#")[0] or row.source)
        if row.source in wanted:
            found.setdefault(path, {})
        else:
            steps = {one.camera: [0, one.step] for one in row.cameras if one.step is not None}
            unwanted.setdefault(path, {})[row.episode_id] = steps
    return {path: unwanted.get(path, {}) for path in found}


def _pictures(episode: TakenEpisode) -> Iterator[Pictures]:
    for name, camera in episode.cameras.items():
        frames = camera.frames
        if frames:
            yield Pictures(name, frames[0].png if len(frames) > 1 else None, frames[-1].png)
