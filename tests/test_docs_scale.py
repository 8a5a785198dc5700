"""docs/scale.md against the code: its commands run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil

from conftest import REPOSITORY
from robo_dialog.play.play_command import Play
from robo_dialog.relabel.command import Relabel
from robo_episodes.commands import Ingest
from robo_episodes.stages.reading import SHARD_BYTES, SHARD_RECORDINGS

PAGE = (REPOSITORY / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_sizes_of_shards_are_those_of_the_code():
    assert f"about {SHARD_RECORDINGS} episodes" in PAGE
    assert f"more than {SHARD_BYTES >> 20} MB" in PAGE


def test_the_commands_run_as_they_stand(tmp_path, monkeypatch):
    """With fewer games."""
    import tyro

    (tmp_path / "recordings").mkdir()
    shutil.copy(REPOSITORY / "tests" / "data" / "tabletop_source.hdf5", tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robo_dialog.play.preparation.TRIAL_GAMES", 4)
    monkeypatch.setattr("robo_dialog.play.preparation.CAPTIONS", 4)
    lines = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1].replace("2000", "4").splitlines()
    for kind, line in zip((Ingest, Relabel, Play), lines, strict=True):
        assert tyro.cli(kind, args=shlex.split(line)[2:]).run() == 0
    assert (tmp_path / "labels" / "labels.parquet").is_file()
    assert (tmp_path / "runs" / "games" / "dialogs.jsonl").is_file()


def test_the_points_of_the_cost_model_are_those_that_were_measured():
    figures = json.loads((REPOSITORY / "benchmarks" / "results" / "relabel.json").read_text())["figures"]
    each = (figures["seconds_1e4"] - figures["seconds_1e3"]) / 9000
    start = figures["seconds_1e3"] - 1000 * each
    for name, size in (("10³", "1e3"), ("10⁴", "1e4"), ("10⁵", "1e5")):
        predicted = start + float(size) * each
        told = f"| {name} | {figures[f'seconds_{size}']:.1f} | {predicted:.1f} | {figures[f'rss_mb_{size}']:.0f} |"
        assert told in PAGE
