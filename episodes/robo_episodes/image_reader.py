"""Episodes from folders of pictures: every folder is one camera of an episode, or every picture an episode."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from robo_episodes.assembling import assembled
from robo_episodes.camera_notes import final_notes, length_notes, storage_notes
from robo_episodes.episode import Episode, EpisodeWarning, readable
from robo_episodes.errors import LayoutError, UnreadableError
from robo_episodes.expressions import holds
from robo_episodes.image_frames import FileFrames, stored_bytes
from robo_episodes.keys import last_part
from robo_episodes.labels import find_label
from robo_episodes.layout import Layout
from robo_episodes.ordering import natural
from robo_episodes.recording import Recording, episode_id, recording_name
from robo_episodes.scope import Scope
from robo_episodes.streams import colorless_word

SUFFIXES = (".png", ".jpg", ".jpeg")

CAMERA = "images"
"""Camera name where a folder holds one camera and the layout does not name it."""


def takes_file(path: Path) -> bool:
    """Whether the name is that of a picture; the first one of a folder stands for all of them."""
    return path.suffix.lower() in SUFFIXES


def is_color(path: Path) -> bool:
    """Whether a picture's name does not say that it is depth or the like."""
    return takes_file(path) and colorless_word(path.name, ()) is None


def takes_folder(path: Path) -> bool:
    """Return False: other recordings may lie beside pictures."""
    return False


def recognise(layouts: Sequence[Layout], path: Path, place: str) -> Layout:
    """Return the first layout that fits the folder, told by its first picture; none is opened.

    Raises:
        LayoutError: none does.
    """
    scope = Scope(path=place, folder=path.parent)
    for layout in layouts:
        fits = not layout.match or holds(layout.match, scope)
        if fits and (layout.leave_out or layout.episodes != "/" or _are_frames(layout, _pictures(path))):
            return layout
    raise LayoutError(f"{path}: no layout takes the pictures of this folder; see --layout")


def episodes(recording: Recording, instruction: str | None) -> Iterator[Episode | EpisodeWarning]:
    """Yield the episode of a folder, or the episode of every picture.

    Raises:
        UnreadableError: the last picture cannot be read.
    """
    if recording.layout.episodes == "/":
        for one in recording.turns.own([recording]):
            name = recording.name if recording.layout.cameras else recording_name(recording.place.rpartition("/")[0])
            yield _episode(one, name, _cameras(one), instruction)
        return
    for one in recording.turns.own(_single(recording)):
        try:
            yield _episode(one, last_part(one.path.name), {CAMERA: [one.path]}, instruction)
        except UnreadableError as error:
            yield EpisodeWarning(readable(str(one.path)), "unreadable", str(error))


def _single(recording: Recording) -> list[Recording]:
    """Return a recording for every picture of the folder that is an episode."""
    folder = recording.place.rpartition("/")[0]
    paths = [path for path in _pictures(recording.path) if fnmatchcase(path.name, recording.layout.episodes)]
    return [replace(recording, place=f"{folder}/{path.name}", files={"": path}) for path in paths]


def _cameras(recording: Recording) -> dict[str, list[Path]]:
    """Return the pictures of every camera in the order of time."""
    pattern = re.compile(recording.layout.cameras[0]) if recording.layout.cameras else None
    cameras: dict[str, list[Path]] = {}
    above = len(str(recording.path)) - len(recording.place)
    for first in recording.files.values():
        for path in _pictures(first):
            match = pattern.search(str(path)[above:]) if pattern else None
            if pattern is None or match is not None:
                cameras.setdefault(match["camera"] if match else CAMERA, []).append(path)
    return cameras


def _episode(recording: Recording, name: str, paths: Mapping[str, Sequence[Path]], instruction: str | None) -> Episode:
    layout, scope = recording.layout, Scope(recording.place, recording.path.parent, argument=instruction)
    coding = layout.coding(scope)
    cameras = {
        camera: FileFrames(files[0].parent, tuple(file.name for file in files), coding)
        for camera, files in paths.items()
    }
    is_folder = layout.episodes == "/"
    lengths = length_notes(cameras) if is_folder else []  # else every episode has one frame
    return assembled(
        layout,
        scope,
        find_label(layout, scope),
        identity=episode_id(readable(name), _fingerprint(cameras)),
        source=readable(str(recording.path.parent if is_folder else recording.path)),
        cameras=cameras,
        notes=(*storage_notes(layout, scope, cameras), *final_notes(layout, cameras), *lengths),
    )


def _pictures(path: Path) -> list[Path]:
    """Return the pictures beside one, in natural order, without depth maps."""
    try:
        names = [entry.name for entry in os.scandir(path.parent) if entry.is_file()]
    except OSError as error:
        raise UnreadableError(f"{path.parent}: cannot be read ({error.strerror})") from error
    kept = (name for name in names if is_color(Path(name)) and not name.startswith("."))
    return [path.with_name(name) for name in sorted(kept, key=natural)]


def _are_frames(layout: Layout, paths: Sequence[Path]) -> bool:
    """Whether the names of a folder's pictures are those of one sequence, `im_0.jpg`, `im_1.jpg`, ..."""
    if layout.cameras:
        return True
    shapes = {re.sub(r"\d+(?=\D*$)", "#", path.name) for path in paths}
    return len(shapes) == 1 and "#" in shapes.pop()


def _fingerprint(cameras: Mapping[str, FileFrames]) -> Iterator[bytes]:
    """Yield what identifies the episode: every camera's name, length and final picture as stored."""
    for name, frames in sorted(cameras.items()):
        yield f"{name} {frames.length}".encode()
        yield stored_bytes(frames.folder / frames.names[-1])
