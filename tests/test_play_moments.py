"""Moments of a pool, and that no game can peek at a label."""

from __future__ import annotations

import ast
from dataclasses import replace

import numpy as np
import pytest

from conftest import MODULES
from robo_dialog.errors import PoolError
from robo_dialog.play.moments import COLUMNS, Moment, read_moments
from robo_episodes.episode import Trust
from robo_episodes.images import encode_png
from robo_episodes.pool import FramePool
from robo_episodes.pool_rows import FrameRow, frame_id
from robo_episodes.pool_writer import writing


def row(episode, camera="front", from_end=0, **changes):
    png = encode_png(np.full((4, 4, 3), hash_of(episode, camera, from_end), np.uint8))
    content = {
        "frame_id": frame_id(png),
        "png": png,
        "episode_id": episode,
        "camera": camera,
        "step": 9 - from_end,
        "steps_from_end": from_end,
        "instruction": f"do {episode}",
        "success": True,
        "source": "/lab/a.mp4",
        "trust": Trust.LABEL,
    }
    return FrameRow(**{**content, **changes})


def hash_of(*parts):
    return sum(str(parts).encode()) % 256


def pool_of(path, rows):
    with writing(path, 2) as writer:
        for one in rows:
            writer.add(one)
    return FramePool.open(path)


ROWS = [row(episode, camera, step) for episode in ("a", "b") for camera in ("front", "side") for step in (1, 0)]


def test_frames_equally_far_from_the_end_are_one_moment_of_all_cameras(tmp_path):
    found = read_moments(pool_of(tmp_path / "pool", ROWS))
    assert [(m.episode_id, m.from_end, m.final) for m in found] == [
        ("a", 1, False),
        ("a", 0, True),
        ("b", 1, False),
        ("b", 0, True),
    ]
    ids = {(one.episode_id, one.camera, one.steps_from_end): one.frame_id for one in ROWS}
    for one in found:
        assert one.instruction == f"do {one.episode_id}"
        assert list(one.frames) == ["front", "side"]
        assert one.frames == {camera: ids[one.episode_id, camera, one.from_end] for camera in ("front", "side")}


def test_only_the_wanted_cameras_are_read(tmp_path):
    pool = pool_of(tmp_path / "pool", [*ROWS, row("c", "wrist")])
    assert all(list(m.frames) == ["side"] for m in read_moments(pool, ["side"]))
    assert {m.episode_id for m in read_moments(pool, ["side"])} == {"a", "b"}


def test_frames_without_an_instruction_or_a_place_in_time_are_left_out(tmp_path):
    rows = [*ROWS, row("c", instruction=None), row("d", step=0, steps_from_end=None), row("d", "side")]
    found = read_moments(pool_of(tmp_path / "pool", rows))
    assert [m.episode_id for m in found] == ["a", "a", "b", "b", "d"]
    assert found[-1] == Moment("d", "do d", 0, {"side": rows[-1].frame_id})


def test_labels_change_no_moment(tmp_path):
    labels = [(True, Trust.LABEL), (False, Trust.LABEL), (None, Trust.NONE)]
    pools = [
        pool_of(tmp_path / str(i), [replace(one, success=success, trust=trust) for one in ROWS])
        for i, (success, trust) in enumerate(labels)
    ]
    assert len({str(read_moments(pool)) for pool in pools}) == 1
    assert pools[0].digest() != pools[1].digest()  # the pools do differ


def test_no_label_is_asked_of_the_pool(tmp_path, monkeypatch):
    asked = []
    table = FramePool.table

    def watched(pool, columns):
        asked.extend(columns)
        return table(pool, columns)

    pool = pool_of(tmp_path / "pool", ROWS)
    monkeypatch.setattr(FramePool, "table", watched)
    read_moments(pool)
    assert tuple(asked) == COLUMNS
    assert not {"success", "trust", "source"} & set(asked)


def peeks(source):
    """Where a module's code names the label's column or asks a pool for whole rows."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value == "success":
            yield "success"
        if isinstance(node, ast.Attribute) and ast.unparse(node).endswith((".success", "pool.rows", "pool.episodes")):
            yield ast.unparse(node)


GAMES = [name for name in MODULES if name.startswith("robo_dialog.play.")]


@pytest.mark.parametrize("module", GAMES)
def test_no_module_of_play_touches_labels(module):
    assert list(peeks(MODULES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("line", ["row.success", "table['success']", "columns = ('success',)", "pool.episodes()"])
def test_the_check_for_labels_finds(line):
    assert list(peeks(line))


@pytest.mark.parametrize(
    ("rows", "cameras", "message"),
    [
        ([], (), "the pool is empty; ingest"),
        ([row("a", instruction=None)], (), "no frame has an instruction; ingest again with --instruction"),
        (ROWS, ("top", "wrist"), "has no camera top, wrist; the pool has cameras front, side"),
    ],
)
def test_a_pool_without_moments_says_why(tmp_path, rows, cameras, message):
    with pytest.raises(PoolError, match=message):
        read_moments(pool_of(tmp_path / "pool", rows), cameras)
