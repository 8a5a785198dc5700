"""A bundle is used exactly as it was written, or refused with the name of the file that is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import bundles
from robo_dialog import models
from robo_dialog.detect.bundle import read_bundle, write_bundle
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.manifest import LARGEST, MANIFEST, Lineage, build_manifest, parse_manifest
from robo_dialog.errors import BundleError

FILES = [MANIFEST, *LARGEST]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    return str(caught.value)


def test_what_was_written_is_read(bundle):
    read = read_bundle(bundle)
    assert dict(read.contents) == bundles.contents()
    assert read.manifest.name == "by-hand"
    assert read.manifest.lineage == bundles.LINEAGE


def test_the_same_files_give_the_same_digest_and_others_another(tmp_path):
    first, again = (read_bundle(bundles.write(tmp_path / name)).manifest for name in ("first", "again"))
    other = read_bundle(bundles.write(tmp_path / "other", Calibration(threshold=0.6))).manifest
    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_is_refused_by_file_name(bundle, file, place):
    data = bytearray((bundle / file).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (bundle / file).write_bytes(data)
    assert f"bundle/{file}: " in refusal(bundle)


def test_no_bit_of_the_manifest_can_be_flipped(bundle):
    data = (bundle / MANIFEST).read_bytes()
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        with pytest.raises(BundleError):
            parse_manifest(bytes(altered))


@pytest.mark.parametrize("file", FILES)
def test_a_shorter_or_longer_file_is_refused_by_name(bundle, file):
    data = (bundle / file).read_bytes()
    for altered in (data[:-1], data + b"\0", b""):
        (bundle / file).write_bytes(altered)
        assert f"bundle/{file}: " in refusal(bundle)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_refused_by_name(bundle, file):
    (bundle / file).unlink()
    assert f"{file}: is missing" in refusal(bundle)


@pytest.mark.parametrize("file", FILES)
def test_a_symbolic_link_is_refused_even_to_the_right_content(bundle, tmp_path, file):
    (bundle / file).rename(tmp_path / "real")
    (bundle / file).symlink_to(tmp_path / "real")
    assert f"{file}: cannot be opened as a plain file" in refusal(bundle)


@pytest.mark.parametrize("file", FILES)
def test_a_hard_link_is_refused_even_to_the_right_content(bundle, tmp_path, file):
    os.link(bundle / file, tmp_path / "other name")
    assert f"{file}: has 2 hard links" in refusal(bundle)


def test_a_bundle_installed_with_the_package_may_be_hard_links_into_an_installer_cache(bundle, tmp_path, monkeypatch):
    for file in FILES:
        os.link(bundle / file, tmp_path / f"cached {file}")
    monkeypatch.setattr(models, "__file__", str(tmp_path / "__init__.py"))
    assert read_bundle(bundle).manifest.name == "by-hand"


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting_for_a_writer(bundle):
    (bundle / "scorer.onnx").unlink()
    os.mkfifo(bundle / "scorer.onnx")
    assert "scorer.onnx: is not a regular file" in refusal(bundle)


@pytest.mark.parametrize("name", ["extra.py", ".hidden", "scorer.onnx.data"])
def test_an_unlisted_file_is_refused_by_name(bundle, name):
    (bundle / name).write_bytes(b"")
    assert f"'{name}': is not listed" in refusal(bundle)


def test_an_unlisted_folder_is_refused(bundle):
    (bundle / "more").mkdir()
    assert "'more': is not listed" in refusal(bundle)


def test_a_place_without_a_bundle_is_named(tmp_path):
    assert "nowhere: is not a bundle folder" in refusal(tmp_path / "nowhere")
    assert "manifest.json: is missing" in refusal(tmp_path)


def test_another_schema_version_is_told_from_damage(bundle):
    document = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps(document | {"schema_version": 2}))
    assert "`schema_version` is 2, this robo-dialog reads 1" in refusal(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "run.py"])
def test_a_manifest_cannot_list_files_of_its_own_choice(bundle, name):
    forged = build_manifest("forged", Lineage(), {**bundles.contents(), name: b""})
    (bundle / MANIFEST).write_bytes(forged.encode())
    assert "is unknown" in refusal(bundle)


def test_metrics_without_a_finite_value_are_left_out(tmp_path):
    lineage = Lineage(metrics={"auroc": float("nan"), "episodes": 12})
    write_bundle(tmp_path / "bundle", "by-hand", lineage, bundles.contents())
    assert read_bundle(tmp_path / "bundle").manifest.lineage.metrics == {"episodes": 12.0}


def test_writing_the_same_bundle_again_changes_nothing(bundle):
    before = {path.name: path.stat().st_mtime_ns for path in bundle.iterdir()}
    bundles.write(bundle)
    assert {path.name: path.stat().st_mtime_ns for path in bundle.iterdir()} == before


def test_a_bundle_is_never_overwritten_by_another(bundle):
    before = (bundle / MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="already exists"):
        bundles.write(bundle, Calibration(threshold=0.6))
    assert (bundle / MANIFEST).read_bytes() == before


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def full_disk(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        bundles.write(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_must_have_exactly_its_files(tmp_path):
    with pytest.raises(BundleError, match="does not belong"):
        write_bundle(tmp_path / "bundle", "x", Lineage(), {**bundles.contents(), "run.py": b""})
    with pytest.raises(BundleError, match="is missing from"):
        write_bundle(tmp_path / "bundle", "x", Lineage(), {"scorer.onnx": b""})
