"""Nights in MLflow, which a small stand-in of its client remembers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import bundles
from robo_dialog.detect.calibration import Calibration
from robo_dialog.detect.store import ModelStore
from robo_dialog.errors import ConfigError
from robo_dialog.nightly.mirror import NAME, mirror

REPORT = {"night": 3, "outcome": "promoted", "figures": {"new": 40, "drift": None}, "alarms": []}


class MlflowError(Exception):
    """As MLflow raises when nobody answers."""


@dataclass
class Tracking:
    """What the real client does at a server, done here."""

    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    models: list[SimpleNamespace] = field(default_factory=list)
    versions: list[SimpleNamespace] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    is_there: bool = True

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        if not self.is_there:
            raise MlflowError("connection refused")
        return SimpleNamespace(experiment_id="7")

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name, artifact_uri=f"mlflow-artifacts:/{run_name}"))

    def log_metric(self, run: str, key: str, value: float, step: int) -> None:
        self.metrics.append((key, value, step))

    def set_terminated(self, run: str) -> None:
        assert run == "night-0003"

    def search_registered_models(self, wanted: str) -> list[SimpleNamespace]:
        return self.models

    def create_registered_model(self, name: str) -> None:
        self.models.append(SimpleNamespace(name=name))

    def search_model_versions(self, wanted: str) -> list[SimpleNamespace]:
        return self.versions

    def log_artifact(self, run: str, path: str, folder: str) -> None:
        self.artifacts.append(f"mlflow-artifacts:/{run}/{folder}/{Path(path).name}")

    def create_model_version(self, name: str, source: str, run: str, tags: dict[str, str]) -> SimpleNamespace:
        assert f"{source}/manifest.json" in self.artifacts
        self.versions.append(SimpleNamespace(version=str(len(self.versions) + 1), tags=tags, source=source))
        return self.versions[-1]

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version


@pytest.fixture
def tracking(monkeypatch) -> Tracking:
    made, package, exceptions = Tracking(), ModuleType("mlflow"), ModuleType("mlflow.exceptions")
    package.MlflowClient = lambda tracking_uri, registry_uri: made
    exceptions.MlflowException = MlflowError
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    return made


@pytest.fixture
def store(tmp_path) -> ModelStore:
    made = ModelStore.create(tmp_path / "store")
    for number in range(2):
        made.promote(made.publish(bundles.write(tmp_path / str(number), Calibration(threshold=0.5 + number / 10))))
    return made


def test_figures_versions_and_aliases_are_mirrored_and_twice_changes_nothing(tracking, store):
    for _ in range(2):
        assert mirror("http://mlflow", store, REPORT) == []
    assert [model.name for model in tracking.models] == [NAME]
    assert [one.tags["version"] for one in tracking.versions] == [one.version for one in store.versions()]
    named = {alias: tracking.versions[int(one) - 1].tags["version"] for alias, one in tracking.aliases.items()}
    assert named == vars(store.pointers())
    assert tracking.metrics[:2] == [("new", 40.0, 3), ("alarms", 0.0, 3)]


def test_a_server_that_is_away_costs_a_line_and_no_night(tracking, store):
    tracking.is_there = False
    assert mirror("http://mlflow", store, REPORT) == ["http://mlflow: MLflow was not told (connection refused)"]


def test_without_the_package_the_extra_is_named(monkeypatch, store):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"robo-dialog\[mlflow\]"):
        mirror("http://mlflow", store, REPORT)


def test_the_real_client_takes_all_of_it(store, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file://{tmp_path / 'mlruns'}"
    for _ in range(2):
        assert mirror(uri, store, REPORT) == []
    client, pointers = mlflow.MlflowClient(uri, uri), store.pointers()
    champion = client.get_model_version_by_alias(NAME, "champion")
    assert champion.tags["version"] == pointers.champion
    assert client.get_model_version_by_alias(NAME, "previous").tags["version"] == pointers.previous
    assert len(client.search_model_versions(f"name='{NAME}'")) == len(store.versions())
    (path,) = client.list_artifacts(champion.run_id, pointers.champion)
    assert path.path == f"{pointers.champion}/manifest.json"
    runs = client.search_runs([client.get_experiment_by_name(NAME).experiment_id])
    assert {(run.data.metrics["new"], run.data.tags["outcome"]) for run in runs} == {(40.0, "promoted")}


def test_a_place_that_the_real_client_refuses_costs_a_line(store):
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    (told,) = mirror("nowhere://at-all", store, REPORT)
    assert told.startswith("nowhere://at-all: MLflow was not told (")
