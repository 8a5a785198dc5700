"""`robo-dialog detect` as a user starts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bundles
from bundles import grey, png
from recording_files import write_video
from robo_dialog import models
from robo_dialog.cli import main
from robo_dialog.errors import BundleError, ModelError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "front.png").write_bytes(png(grey(200, 64)))
    (tmp_path / "wrist.png").write_bytes(png(grey(100, 64)))
    (tmp_path / "not.png").write_bytes(b"words")
    (tmp_path / "episode.hdf5").write_bytes(b"")
    (tmp_path / "broken.MP4").write_bytes(b"")
    write_video(tmp_path / "attempt.mp4", [grey(100, 64)] * 5 + [grey(200, 64)])
    bundle = bundles.write(tmp_path / "bundle")
    return {path.name: str(path) for path in tmp_path.iterdir()} | {"bundle": str(bundle)}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["detect", *arguments])
    return int(ended.value.code or 0)


def test_json_is_one_object_on_stdout(files, capsys):
    assert run(files["front.png"], files["wrist.png"], "--task", "push it", "--bundle", files["bundle"], "--json") == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["outcome"] == "SUCCESS"
    assert len(verdict["frame_probabilities"]) == 2
    assert 0 < verdict["probability"] < 1
    assert verdict["threshold"] == 0.5
    assert len(verdict["model_digest"]) == 64
    assert set(verdict["milliseconds"]) == {"load", "verdict"}


def test_the_table_shows_outcome_probability_and_every_frame(files, capsys):
    assert run(files["front.png"], files["wrist.png"], "--task", "push it", "--bundle", files["bundle"]) == 0
    shown = capsys.readouterr().out
    for word in ("SUCCESS", "front.png", "wrist.png", "threshold 0.500", "ms"):
        assert word in shown


def test_a_bad_image_is_named_by_its_file(files, capsys):
    assert run(files["front.png"], files["not.png"], "--task", "push it", "--bundle", files["bundle"]) == 7
    shown = capsys.readouterr()
    assert f"{files['not.png']}: is not a JPEG or PNG image" in shown.err
    assert shown.out == ""


def test_a_bad_task_is_named_by_its_option(files, capsys):
    assert run(files["front.png"], "--task", "", "--bundle", files["bundle"]) == 7
    assert "--task: must have 1 to 512 characters" in capsys.readouterr().err


def test_a_recording_is_sent_to_ingest(files, capsys):
    assert run(files["episode.hdf5"], "--task", "push it") == 2
    assert "robo-dialog ingest" in capsys.readouterr().err


def test_of_a_video_the_last_frame_is_judged(files, capsys):
    ends = []
    for name in ("front.png", "attempt.mp4", "wrist.png"):
        assert run(files[name], "--task", "push it", "--bundle", files["bundle"], "--json") == 0
        ends.append(json.loads(capsys.readouterr().out)["probability"])
    assert ends[1] == pytest.approx(ends[0], abs=0.02)
    assert ends[1] != pytest.approx(ends[2], abs=0.02)


def test_a_broken_video_is_named(files, capsys):
    assert run(files["broken.MP4"], "--task", "push it", "--bundle", files["bundle"]) == 3
    assert "broken.MP4" in capsys.readouterr().err


def test_missing_files_and_bundles_are_named(files, tmp_path, capsys):
    assert run(str(tmp_path / "none.png"), "--task", "push it", "--bundle", files["bundle"]) == 2
    assert "none.png: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert run(files["front.png"], "--task", "push it", "--bundle", str(tmp_path / "none")) == 6
    assert "none: is not a bundle folder" in capsys.readouterr().err


def test_an_install_without_the_embedded_model_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_folder", lambda name: tmp_path / name)
    with pytest.raises(BundleError, match="--bundle"):
        models.embedded_bundle()
    with pytest.raises(ModelError, match="--model"):
        models.embedded_model()
