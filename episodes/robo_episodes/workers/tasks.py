"""What workers are asked to do: recognise files, read recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast

from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.layout import Layout
from robo_episodes.recording import Recording
from robo_episodes.selection import Selection
from robo_episodes.taken import Known, TakenEpisode
from robo_episodes.turns import BEFORE
from robo_episodes.workers.forms import Found, from_recording, to_found, to_taken
from robo_episodes.workers.wire import Message

Answer_co = TypeVar("Answer_co", covariant=True)


class Task(Protocol[Answer_co]):
    """Work for one worker, in steps that are counted by an ordinal; another worker goes on where one dies."""

    @property
    def one_file(self) -> bool:
        """Whether all steps are about the same file, so that it can be given up as a whole."""
        ...

    def message(self, start: int) -> dict[str, Json]:
        """Say what to do, from this ordinal on."""
        ...

    def answer(self, message: Message) -> Answer_co:
        """Read one answer; raises `WireError`."""
        ...

    def lost(self, ordinal: int, reason: str) -> Answer_co:
        """Answer in place of a worker that died over a step."""
        ...

    def next_after(self, ordinal: int) -> int:
        """Return the ordinal of the step after one that was answered; `BEFORE`: of the first."""
        ...


@dataclass(frozen=True)
class Recognition:
    """Find the layout that fits each of some files; a step and an answer a file."""

    files: Sequence[tuple[Path, str]]
    """Path and place."""
    layouts: Mapping[str, Layout]
    """By name: those that the workers know."""

    @property
    def one_file(self) -> bool:
        """Every step is another file."""
        return False

    def message(self, start: int) -> dict[str, Json]:
        """Name the files, from this one on."""
        files: list[Json] = [[str(path), place] for path, place in self.files[start:]]
        return {"do": "recognise", "files": files, "start": start}

    def answer(self, message: Message) -> Found:
        """Read which layout fits."""
        return to_found(message, self.layouts)

    def lost(self, ordinal: int, reason: str) -> Found:
        """Answer for a file over which the worker died."""
        path = str(self.files[ordinal][0])
        return EpisodeWarning(path, "unreadable", f"{path}: {reason}")

    def next_after(self, ordinal: int) -> int:
        """Return the next file."""
        return ordinal + 1


@dataclass(frozen=True)
class Reading:
    """Read the episodes of a recording, or every n-th of them; a step an episode, an answer an episode or a warning."""

    recording: Recording
    selection: Selection
    encode: bool
    """Whether the frames themselves are wanted; otherwise only their size and brightness."""
    instruction: str | None
    """Instruction of episodes whose recording holds none."""
    known: Mapping[str, Known] = field(default_factory=dict)
    """Episode id to the frames that need not be read."""
    part: int = 0
    parts: int = 1
    compress: bool = True
    """Whether frames are encoded as pools hold them; see `encode_png`."""
    frames: bool = True
    """Whether cameras are looked at; otherwise episodes have none, and only what the recording says of them."""

    @property
    def one_file(self) -> bool:
        """Every step is an episode of it."""
        return True

    def message(self, start: int) -> dict[str, Json]:
        """Describe the recording and what is wanted of it, from this episode on."""
        known = {name: {camera: list(steps) for camera, steps in all_.items()} for name, all_ in self.known.items()}
        return {
            "do": "read",
            "recording": from_recording(self.recording),
            "instruction": self.instruction,
            "selection": {**vars(self.selection), "cameras": list(self.selection.cameras)},
            "encode": self.encode,
            "compress": self.compress,
            "frames": self.frames,
            "known": cast("dict[str, Json]", known),
            "start": start,
            "step": self.parts,
            "again": start != self.part,
            "leads": self.part == 0,
        }

    def answer(self, message: Message) -> TakenEpisode | EpisodeWarning:
        """Read an episode, or why there is none."""
        return to_taken(message)

    def lost(self, ordinal: int, reason: str) -> EpisodeWarning:
        """Answer for an episode over which the worker died."""
        path = str(self.recording.path)
        return EpisodeWarning(path, "unreadable", f"{path}: {reason}")

    def next_after(self, ordinal: int) -> int:
        """Return the next episode of this part."""
        return self.part if ordinal == BEFORE else ordinal + self.parts
