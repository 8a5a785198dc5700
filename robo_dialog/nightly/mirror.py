"""The nights in MLflow, for teams that look there: figures as runs, bundles as versions, champion as an alias.

The store stays the truth and keeps the bundles: a version in MLflow has the manifest, and names the one of the store in
a tag. A mirror that cannot be reached costs a line of the report and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robo_dialog.detect.manifest import MANIFEST
from robo_dialog.errors import ConfigError
from robo_dialog.nightly.night import Facts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from robo_dialog.detect.store import ModelStore

NAME = "robo-dialog"
"""Experiment and registered model."""


def mirror(uri: str, store: ModelStore, report: Facts) -> list[str]:
    """Show a night at a tracking server (`http://...`) or in a database; returns what did not work, in words.

    Raises:
        ConfigError: the package mlflow is missing.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"tell.mlflow needs the package `{error.name}`; install it with: pip install 'robo-dialog[mlflow]'"
        ) from error
    try:
        client = MlflowClient(uri, uri)
        _register(client, store, _logged(client, report))
    except (MlflowException, OSError) as error:
        return [f"{uri}: MLflow was not told ({error})"]
    return []


def _logged(client: MlflowClient, report: Facts) -> Run:
    found = client.get_experiment_by_name(NAME)
    experiment = client.create_experiment(NAME) if found is None else found.experiment_id
    run = client.create_run(experiment, run_name=f"night-{report['night']:04d}", tags={"outcome": report["outcome"]})
    for key, value in report["figures"].items():
        if value is not None:
            client.log_metric(run.info.run_id, key, float(value), step=report["night"])
    client.log_metric(run.info.run_id, "alarms", float(len(report["alarms"])), step=report["night"])
    client.set_terminated(run.info.run_id)
    return run


def _register(client: MlflowClient, store: ModelStore, run: Run) -> None:
    """Versions that are not there yet, then the aliases. Servers take no source but artifacts of a run."""
    if not client.search_registered_models(f"name='{NAME}'"):
        client.create_registered_model(NAME)
    known = {one.tags.get("version"): one.version for one in client.search_model_versions(f"name='{NAME}'")}
    for model in store.versions():
        if model.version not in known:
            client.log_artifact(run.info.run_id, str(store.path(model.version) / MANIFEST), model.version)
            source = f"{run.info.artifact_uri}/{model.version}"
            tags = {"version": model.version, "base_model": model.manifest.lineage.base_model}
            known[model.version] = client.create_model_version(NAME, source, run.info.run_id, tags).version
    pointers = store.pointers()
    for alias, version in (("champion", pointers.champion), ("previous", pointers.previous)):
        if version in known:
            client.set_registered_model_alias(NAME, alias, known[version])
