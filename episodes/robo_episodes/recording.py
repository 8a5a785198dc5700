"""A recording: a file or the files that the robot wrote for one attempt or many, and the layout that reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from robo_episodes.episode import EpisodeWarning
from robo_episodes.layout import Layout

Note = tuple[str, str]
"""Code and text of a warning whose episode is not known yet."""


@dataclass(frozen=True)
class Recording:
    """What a reader opens."""

    layout: Layout
    name: str
    """Short name for episode ids: the file's stem, or what several files have in common."""
    place: str
    """Path below the folder that was named, with that folder, `/rollouts/success/3.mp4`."""
    files: Mapping[str, Path]
    """Absolute paths; the keys are camera names where every file is one camera, else the empty text."""

    @property
    def path(self) -> Path:
        """The first file."""
        return next(iter(self.files.values()))


def episode_id(name: str, parts: Iterable[bytes]) -> str:
    """Join a name and a fingerprint of the content, so that a moved copy keeps its id and a new content gets one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"{name}@{digest.hexdigest()[:12]}"


def warnings_for(episode: str, notes: Iterable[Note]) -> tuple[EpisodeWarning, ...]:
    """Attach notes to an episode, each code once."""
    return tuple(EpisodeWarning(episode, code, text) for code, text in dict(notes).items())
