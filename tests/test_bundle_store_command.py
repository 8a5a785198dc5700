"""`robo-dialog models` as a person types it."""

from __future__ import annotations

import json

import pytest

import bundles
from robo_dialog.cli import main
from robo_dialog.detect.bundle import write_bundle
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.manifest import Lineage
from robo_dialog.detect.store import ModelStore, Pointers


def models(capsys, *arguments: object) -> dict[str, object]:
    with pytest.raises(SystemExit) as ended:
        main(["models", *map(str, arguments), "--json"])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_a_bundle_is_published_promoted_replaced_and_rolled_back(tmp_path, capsys):
    store = tmp_path / "store"
    paths = [bundles.write(tmp_path / name, Calibration(threshold=k / 10)) for k, name in enumerate(("one", "two"))]
    first = models(capsys, "publish", store, paths[0])["models"][0]
    assert (first["name"], first["metrics"]) == ("by-hand", {"balanced_accuracy": 0.75})
    models(capsys, "promote", store, first["version"])
    versions = [model["version"] for model in models(capsys, "publish", store, paths[1])["models"]]
    second = next(version for version in versions if version != first["version"])
    shown = models(capsys, "promote", store, second)
    assert (shown["champion"], shown["previous"]) == (second, first["version"])
    models(capsys, "rollback", store)
    assert ModelStore(store).pointers() == Pointers(first["version"], second)
    assert models(capsys, "list", store)["champion"] == first["version"]


def test_a_table_names_the_champion(tmp_path, capsys):
    store = ModelStore.create(tmp_path / "store")
    version = store.promote(store.publish(bundles.write(tmp_path / "bundle"))).champion
    with pytest.raises(SystemExit):
        main(["models", "list", str(store.root)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if version in line]
    assert "champion" in line


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("publish", "store"), 2, "publish: needs the folder of a bundle after the store"),
        (("promote", "store"), 2, "promote: needs a version after the store"),
        (("list", "store", "more"), 2, "list: needs nothing after the store, got more"),
        (("list", "nowhere"), 6, "nowhere: is no folder"),
        (("publish", "store", "nowhere"), 6, "nowhere: is not a bundle folder"),
        (("promote", ".", "0" * 16), 6, "has no version"),
        (("rollback", "."), 6, "no previous version"),
        (("show", "."), 6, "has no champion yet"),
        (("diff", "."), 2, "diff: needs a version after the store"),
        (("show", ".", "0" * 16, "more"), 2, "takes one version at most, got more too"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])
    assert ended.value.code == code
    assert text in capsys.readouterr().err


@pytest.fixture
def dynasty(tmp_path):
    """A store in which each version descends from the one before; the last is the champion."""
    store, versions = ModelStore.create(tmp_path / "store"), []
    for number in range(3):
        base = f"/nights/checkpoints/{versions[-1]}" if versions else "tiny"
        lineage = Lineage(base_model=base, metrics={"balanced_accuracy": 0.7 + number / 100})
        bundle = tmp_path / f"bundle-{number}"
        write_bundle(bundle, "night", lineage, bundles.contents(Calibration(threshold=0.5 + number / 10)))
        versions.append(store.publish(bundle))
        store.promote(versions[-1])
    return store, versions


def test_a_version_is_shown_with_lineage_metrics_and_calibration(dynasty, capsys):
    store, versions = dynasty
    shown = models(capsys, "show", store.root)
    assert shown["version"] == versions[-1]
    assert shown["lineage.base_model"] == f"/nights/checkpoints/{versions[1]}"
    assert (shown["metrics.balanced_accuracy"], shown["calibration.threshold"]) == (0.72, 0.7)
    assert models(capsys, "show", store.root, versions[0])["lineage.base_model"] == "tiny"


def test_a_difference_names_what_differs_and_nothing_else(dynasty, capsys):
    store, versions = dynasty
    found = models(capsys, "diff", store.root, versions[0])
    assert found["calibration.threshold"] == [0.5, 0.7]
    assert found["metrics.balanced_accuracy"] == [0.7, 0.72]
    assert "files.scorer.onnx" not in found
    assert "files.calibration.json" in found
    assert models(capsys, "diff", store.root, versions[0], versions[0]) == {}


def test_a_lineage_is_followed_to_where_the_store_began(dynasty, capsys):
    store, versions = dynasty
    assert [one["version"] for one in models(capsys, "lineage", store.root)["models"]] == versions[::-1]
    assert [one["version"] for one in models(capsys, "lineage", store.root, versions[0])["models"]] == versions[:1]


def test_a_damaged_version_is_not_shown(dynasty, capsys):
    store, versions = dynasty
    (store.path(versions[0]) / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(SystemExit) as ended:
        main(["models", "show", str(store.root), versions[0]])
    assert ended.value.code == 6
    assert "tokenizer.json" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["show", "diff", "lineage"])
def test_comparing_prints_tables(dynasty, capsys, action):
    store, versions = dynasty
    with pytest.raises(SystemExit) as ended:
        main(["models", action, str(store.root), versions[0]])
    assert ended.value.code == 0
    assert versions[0][:8] in capsys.readouterr().out
