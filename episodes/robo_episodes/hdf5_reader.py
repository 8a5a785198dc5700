"""Episodes from HDF5 files: groups or whole files, as the layout says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_episodes.assembling import assembled
from robo_episodes.camera_notes import final_notes, length_notes, storage_notes
from robo_episodes.episode import Episode, EpisodeWarning, FrameSource, Trust, readable
from robo_episodes.errors import LayoutError, UnreadableError
from robo_episodes.expressions import holds
from robo_episodes.hdf5 import Hdf5Tree, damage_reported, opened
from robo_episodes.hdf5_cameras import camera_datasets, camera_files, terminal_of
from robo_episodes.hdf5_frames import Hdf5Frames, last_row
from robo_episodes.labels import Label, believe, described, find_label, renamed
from robo_episodes.layout import Layout
from robo_episodes.recording import Note, Recording, episode_id, file_sample
from robo_episodes.scope import Scope
from robo_episodes.video import VideoFrames, open_video

SUFFIXES = (".hdf5", ".h5")


def takes_file(path: Path) -> bool:
    """Whether the name is that of an HDF5 file."""
    return path.suffix.lower() in SUFFIXES


def takes_folder(path: Path) -> bool:
    """No folder is a recording as a whole."""
    return False


def recognise(layouts: Sequence[Layout], path: Path, place: str) -> Layout:
    """Return the first layout that finds an episode with a camera in the file.

    Raises:
        UnreadableError: the file is broken or hostile, or holds no images.
        LayoutError: it holds images, but no layout says where.
    """
    with opened(path) as tree:
        scope = Scope(path=place, folder=path.parent, tree=tree)
        known = [layout for layout in layouts if not layout.match or holds(layout.match, scope)]
        for layout in known:
            if layout.leave_out or (not layout.refuse and _has_camera(layout, tree, path.parent)):
                return layout
        images = tree.find_images()
    if images:
        raise LayoutError(f"{path}: no layout fits; images are at {', '.join(images[:4])}: describe them with --layout")
    for layout in known:
        if layout.refuse:
            return layout
    raise UnreadableError(
        f"{path}: no camera images: it holds states only; render the images first and give the file that has them"
    )


def _has_camera(layout: Layout, tree: Hdf5Tree, folder: Path) -> bool:
    groups = tree.glob("/", layout.episodes)
    return any(camera_datasets(layout, tree, group) for group in groups) or bool(
        groups and camera_files(layout, folder)
    )


def episodes(recording: Recording, instruction: str | None) -> Iterator[Episode | EpisodeWarning]:
    """Yield the episodes in natural order, and a warning in place of each that cannot be read.

    Raises:
        UnreadableError: the file is broken as a whole.
    """
    layout, path = recording.layout, recording.path
    with opened(path) as tree:
        groups = tree.glob("/", layout.episodes)
        whole = Scope(path=recording.place, folder=path.parent, argument=instruction, tree=tree)
        scopes = [_described(layout, replace(whole, base=group), path) for group in groups]
        labels = believe([_label(layout, scope, path) for scope in scopes])
        for scope, label in recording.turns.own(zip(scopes, labels, strict=True)):
            try:
                with damage_reported(path):
                    episode = _episode(recording, tree, scope, label)
            except UnreadableError as error:
                yield EpisodeWarning(_source(path, scope.base), "unreadable", str(error))
            else:
                yield episode


def _described(layout: Layout, scope: Scope, path: Path) -> Scope:
    """Look up once what several expressions of an episode may use."""
    try:
        with damage_reported(path):
            return described(layout, scope)
    except UnreadableError:
        return scope


def _label(layout: Layout, scope: Scope, path: Path) -> Label:
    try:
        with damage_reported(path):
            return find_label(layout, scope)
    except UnreadableError as error:
        return Label(None, Trust.NONE, notes=(("unreadable_label", str(error)),))


def _episode(recording: Recording, tree: Hdf5Tree, scope: Scope, label: Label) -> Episode:
    layout, path = recording.layout, recording.path
    source = _source(path, scope.base)
    if layout.complete and not holds(layout.complete, scope):
        raise UnreadableError(f"{source}: was not finished by its writer ({layout.complete[0].text} is missing)")
    cameras, notes = _cameras(layout, tree, scope, path)
    if not cameras:
        raise UnreadableError(f"{source}: no camera with images")
    name = recording.name if scope.base == "/" else f"{recording.name}/{scope.base.rsplit('/', 1)[-1]}"
    identity = episode_id(readable(name), _fingerprint(tree, renamed(layout, scope, cameras)))
    return assembled(layout, scope, label, identity=identity, source=source, cameras=cameras, notes=notes)


def _cameras(layout: Layout, tree: Hdf5Tree, scope: Scope, path: Path) -> tuple[dict[str, FrameSource], list[Note]]:
    coding = layout.coding(scope)
    datasets = camera_datasets(layout, tree, scope.base)
    notes = storage_notes(layout, scope, [name for name, (_, images) in datasets.items() if images.encoded])
    stored: dict[str, Hdf5Frames] = {}
    for name, (dataset, images) in datasets.items():
        if images.length == 0:
            notes.append(("empty_camera", f"camera {name} holds no frame and is left out"))
            continue
        terminal = terminal_of(layout, tree, scope, dataset, images)
        stored[name] = Hdf5Frames(path, dataset, images.length + (terminal is not None), coding, terminal)
    videos = {name: open_video(file, coding.orient) for name, file in camera_files(layout, path.parent).items()}
    notes += final_notes(layout, [*(name for name, frames in stored.items() if frames.terminal is None), *videos])
    found: dict[str, FrameSource] = {**stored, **videos}
    return found, [*notes, *length_notes(renamed(layout, scope, found))]


def _fingerprint(tree: Hdf5Tree, cameras: Mapping[str, FrameSource]) -> Iterator[bytes]:
    """Yield what identifies the episode: every camera's name, length and final frame as stored."""
    for name, frames in sorted(cameras.items()):
        yield f"{name} {frames.length}".encode()
        if isinstance(frames, Hdf5Frames):
            row = last_row(tree, frames.terminal or frames.dataset)
            yield row if isinstance(row, bytes) else np.asarray(row).tobytes()
        elif isinstance(frames, VideoFrames):
            yield from file_sample(frames.path)


def _source(path: Path, group: str) -> str:
    return readable(str(path) if group == "/" else f"{path}#{group}")
