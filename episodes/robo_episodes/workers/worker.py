"""What a worker does: takes tasks from its connection, one after the other, and answers step by step."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from robo_episodes import recordings
from robo_episodes.episode import Episode, EpisodeWarning, Json
from robo_episodes.errors import OUT_OF_MEMORY, RecordingError, first_line
from robo_episodes.layout import Layout, from_fields
from robo_episodes.selection import Selection
from robo_episodes.taken import TakenEpisode, take
from robo_episodes.turns import BEFORE, Turns
from robo_episodes.video_file import kept_open
from robo_episodes.workers.forms import from_found, from_taken, to_recording
from robo_episodes.workers.limits import MEGABYTE, Limits, resident, stop_clock
from robo_episodes.workers.wire import receive, send

RETIRES_AT = 384 * MEGABYTE
"""Memory beyond a young worker's with which one ends itself after a task: what decoders leak must not add up."""

Step = tuple[dict[str, Json], list[bytes]]


class _BrokenStepError(Exception):
    """Reading raised what no reader foresees, for a broken file may raise anything in somebody's decoder."""


def live(sock: socket.socket) -> None:
    """Serve a connection until it closes, then end the process."""
    try:
        setup = receive(sock)
        if setup is not None:
            with kept_open():
                _serve(sock, setup.content)
    except OSError:
        pass  # the program is gone
    finally:
        os._exit(0)


def _serve(sock: socket.socket, setup: dict[str, Any]) -> None:
    cv2.setNumThreads(0)
    limits, young = Limits(**setup["limits"]), resident()
    layouts = {raw["name"]: from_fields(raw) for raw in setup["layouts"]}
    limits.confine()

    def say_begun() -> None:
        stop_clock()  # the program may be slow to listen
        send(sock, {"begun": True})
        limits.start_clock()

    while (task := receive(sock)) is not None:
        steps = (
            _recognise(task.content, layouts)
            if task.content["do"] == "recognise"
            else _read(task.content, layouts, say_begun)
        )
        try:
            for step in _timed(steps, limits):
                send(sock, *step)
        except _BrokenStepError as error:
            send(sock, {"broke": str(error)})
            return
        retires = resident() > young + RETIRES_AT
        send(sock, {"done": True, "retires": retires})
        if retires:
            return


def _timed(steps: Iterator[Step], limits: Limits) -> Iterator[Step]:
    """Let the clock run while a step is done, and not while it is sent."""
    while True:
        limits.start_clock()
        try:
            step = next(steps, None)
        except MemoryError:
            raise _BrokenStepError(OUT_OF_MEMORY) from None
        except Exception as error:
            raise _BrokenStepError(f"cannot be read ({type(error).__name__}: {first_line(error)})") from error
        stop_clock()
        if step is None:
            return
        yield step


def _recognise(task: dict[str, Any], layouts: Mapping[str, Layout]) -> Iterator[Step]:
    for ordinal, (path, place) in enumerate(task["files"], start=task["start"]):
        found = recordings.recognised(Path(path), place, tuple(layouts.values()))
        yield {**from_found(found), "ordinal": ordinal}, []


def _read(task: dict[str, Any], layouts: Mapping[str, Layout], say_begun: Callable[[], None]) -> Iterator[Step]:
    turns = Turns(task["start"], task["step"], on_begin=say_begun)
    recording = to_recording(task["recording"], layouts, turns)
    selection = Selection(**{**task["selection"], "cameras": tuple(task["selection"]["cameras"])})
    for item in recordings.read(recording, task["instruction"]):
        concerns_all = turns.current == BEFORE or turns.finished
        if concerns_all and (not task["leads"] or (task["again"] and not turns.finished)):
            continue  # said by another part, or by the worker that died
        content, blobs = from_taken(_taken(item, selection, task))
        yield {**content, "ordinal": turns.current}, blobs


def _taken(item: Episode | EpisodeWarning, selection: Selection, task: dict[str, Any]) -> TakenEpisode | EpisodeWarning:
    if isinstance(item, EpisodeWarning):
        return item
    try:
        episode = item if task["frames"] else replace(item, cameras={})
        known = task["known"].get(item.id, {})
        return take(episode, selection, known, encode=task["encode"], compress=task["compress"])
    except RecordingError as error:
        return EpisodeWarning(item.source, "unreadable", str(error))
