"""Frame pools: whole shards in order, damage named, and readable by other people's software."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recording_files import scene
from robo_episodes.episode import Trust
from robo_episodes.errors import PoolError
from robo_episodes.images import encode_png
from robo_episodes.pool import FramePool
from robo_episodes.pool_rows import FrameRow, frame_id
from robo_episodes.pool_writer import writing


def row(seed, *, episode="a@1", camera="top", step=0, **changes):
    png = encode_png(scene(seed))
    content = {
        "frame_id": frame_id(png),
        "png": png,
        "episode_id": episode,
        "camera": camera,
        "step": step,
        "steps_from_end": 0,
        "instruction": "open the drawer",
        "success": True,
        "source": "/lab/a.mp4",
        "trust": Trust.LABEL,
    }
    return FrameRow(**{**content, **changes})


def fill(path, rows, shard_rows=2):
    with writing(path, shard_rows) as writer:
        return [writer.add(one) for one in rows]


def test_rows_come_back_in_order_and_whole(tmp_path):
    rows = [row(seed, episode=f"e{seed}", step=seed) for seed in range(5)]
    rows.append(row(9, episode="e9", success=None, instruction=None, trust=Trust.NONE, step=None, steps_from_end=None))
    fill(tmp_path / "pool", rows)
    pool = FramePool.open(tmp_path / "pool")
    assert list(pool.rows()) == rows
    assert len(pool) == 6
    assert len(pool.shards) == 3
    assert np.array_equal(next(pool.rows()).image(), scene(0))


def test_the_same_frame_of_the_same_place_is_kept_once(tmp_path):
    assert fill(tmp_path / "pool", [row(1), row(1), row(2, step=1)]) == [True, False, True]
    assert fill(tmp_path / "pool", [row(2, step=1), row(3, step=2)]) == [False, True]
    assert len(FramePool.open(tmp_path / "pool")) == 3


def test_a_static_scene_keeps_both_steps_with_their_provenance(tmp_path):
    fill(
        tmp_path / "pool",
        [row(1, step=0, steps_from_end=1), row(1, step=1), row(1, camera="side"), row(1, episode="b")],
    )
    rows = list(FramePool.open(tmp_path / "pool").rows())
    assert len({one.frame_id for one in rows}) == 1
    assert [(one.episode_id, one.camera, one.step) for one in rows] == [
        ("a@1", "top", 0),
        ("a@1", "top", 1),
        ("a@1", "side", 0),
        ("b", "top", 0),
    ]


def test_episodes_are_listed_with_cameras_and_labels(tmp_path):
    fill(tmp_path / "pool", [row(1), row(2, camera="side"), row(3, episode="b", success=False)])
    one, two = FramePool.open(tmp_path / "pool").episodes()
    assert (one.id, one.cameras, one.frames, one.success) == ("a@1", ("top", "side"), 2, True)
    assert (two.id, two.success, two.trust, two.instruction) == ("b", False, Trust.LABEL, "open the drawer")


def test_the_digest_tells_content_from_place(tmp_path):
    rows = [row(seed, step=seed) for seed in range(3)]
    fill(tmp_path / "a", rows, shard_rows=1)
    fill(tmp_path / "b", [row(seed, step=seed, source="/elsewhere/a.mp4") for seed in range(3)], shard_rows=2)
    fill(tmp_path / "c", [*rows[:2], row(2, step=2, success=False)])
    digests = [FramePool.open(tmp_path / name).digest() for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_shards_are_plain_parquet_with_the_image_feature_of_hugging_face(tmp_path):
    fill(tmp_path / "pool", [row(1)])
    table = pq.read_table(tmp_path / "pool" / "frames-00000.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert list(features) == table.column_names
    assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = table["image"][0].as_py()
    assert image["path"] == table["frame_id"][0].as_py() + ".png"
    pillow = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(pillow.open(io.BytesIO(image["bytes"]))), scene(1))


def test_hugging_face_datasets_opens_a_pool_as_images(tmp_path):
    datasets = pytest.importorskip("datasets")
    fill(tmp_path / "pool", [row(1), row(2, step=1), row(3, step=2)])
    loaded = datasets.load_dataset(str(tmp_path / "pool"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 3
    assert np.array_equal(np.asarray(loaded[0]["image"]), scene(1))


@pytest.mark.parametrize("damage", ["cut", "flip", "zero", "text"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    fill(tmp_path / "pool", [row(seed, step=seed) for seed in range(4)])
    shard = tmp_path / "pool" / "frames-00001.parquet"
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 4] ^= 0xFF
    elif damage == "zero":
        content = bytearray()
    else:
        content = bytearray(b"no parquet")
    shard.write_bytes(content)
    with pytest.raises(PoolError, match=r"frames-00001\.parquet.*delete it"):
        list(FramePool.open(tmp_path / "pool").rows())


def test_a_missing_shard_is_named(tmp_path):
    for index in (0, 1):
        pool = tmp_path / str(index)
        fill(pool, [row(seed, step=seed) for seed in range(4)])
        (pool / f"frames-{index:05d}.parquet").unlink()
        with pytest.raises(PoolError, match=rf"frames-{index:05d}\.parquet.*missing"):
            FramePool.open(pool)


def test_a_folder_that_is_no_pool_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(PoolError, match="not empty"):
        FramePool.create(tmp_path)
    with pytest.raises(PoolError, match="is no frame pool"):
        FramePool.open(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("content", "reason"), [('{"schema_version": 9, "shards": 0}', "version 9"), ("{", "damaged")])
def test_a_pool_of_another_version_or_with_a_damaged_header_is_refused(tmp_path, content, reason):
    (tmp_path / "pool.json").write_text(content)
    for enter in (FramePool.open, FramePool.create):
        with pytest.raises(PoolError, match=reason):
            enter(tmp_path)


def test_a_shard_of_other_columns_is_refused(tmp_path):
    fill(tmp_path / "pool", [row(1)])
    pq.write_table(pa.table({"x": [1]}), tmp_path / "pool" / "frames-00000.parquet")
    with pytest.raises(PoolError, match=r"frames-00000\.parquet: has columns"):
        FramePool.open(tmp_path / "pool")


def test_two_writers_at_once_are_refused(tmp_path):
    with writing(tmp_path / "pool"), pytest.raises(PoolError, match="another process"), writing(tmp_path / "pool"):
        pass


def test_a_failed_first_run_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), writing(tmp_path / "pool"):
        raise RuntimeError
    assert not (tmp_path / "pool").exists()


def test_an_empty_pool_has_no_rows(tmp_path):
    pool = FramePool.create(tmp_path / "pool")
    assert (len(pool), list(pool.rows()), pool.episodes()) == (0, [], [])
