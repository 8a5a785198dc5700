"""deploy/ray: jobs and services of KubeRay, checked by schemas and against the commands and code that they name."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module

import jsonschema
import kubernetes_validate
import pytest
import tyro
import yaml

from conftest import MODULES, REPOSITORY
from robo_dialog.relabel.command import Relabel

RAY = REPOSITORY / "deploy" / "ray"
VERSION = "1.37"
SCHEMA = json.loads((REPOSITORY / "tests" / "data" / "kuberay.json").read_text(encoding="utf-8"))


def documents() -> list[dict]:
    return [one for path in sorted(RAY.iterdir()) for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def named(kind: str) -> dict:
    return next(one for one in documents() if one["kind"] == kind)


def clusters() -> list[dict]:
    return [named("RayJob")["spec"]["rayClusterSpec"], named("RayService")["spec"]["rayClusterConfig"]]


def pods() -> Iterator[dict]:
    for cluster in clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield group["template"]["spec"]


def ray_service() -> list[dict]:
    return list(pods())[2:]


def serving() -> dict:
    return yaml.safe_load(named("RayService")["spec"]["serveConfigV2"])


def test_jobs_and_services_are_as_the_operator_takes_them():
    found = [one for one in documents() if one["apiVersion"] == "ray.io/v1"]
    assert {one["kind"] for one in found} == {"RayJob", "RayService"}
    for one in found:
        jsonschema.validate(one, SCHEMA)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [("RayJob", "entryPoint", "ls"), ("RayJob", "submissionMode", "HTTP"), ("RayService", "serveConfig", "")],
)
def test_the_schema_refuses_what_the_operator_does_not_know(kind, key, value):
    wrong = named(kind)
    wrong["spec"][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_what_is_in_them_follows_the_schemas_of_kubernetes():
    spec = named("RayService")["spec"]["serveService"]["spec"]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}
    wrapped = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod} for pod in pods()]
    for one in (service, named("PersistentVolumeClaim"), *wrapped):
        kubernetes_validate.validate(one, VERSION, strict=True)
    assert len(wrapped) == 4


def test_pods_of_ray_run_without_rights():
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


def test_the_job_is_a_command_for_as_many_workers_as_there_are_cores():
    spec = named("RayJob")["spec"]
    program, name, *words = shlex.split(spec["entrypoint"])
    relabel = tyro.cli(Relabel, args=words)
    assert (program, name, relabel.executor.executor) == ("robo-dialog", "relabel", "ray")
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    cores = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert relabel.executor.workers == group["replicas"] * cores
    (head,) = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    writable = {mount["mountPath"] for mount in head["volumeMounts"] if not mount.get("readOnly")}
    assert str(relabel.out) in writable


def test_ray_is_of_the_version_that_is_pinned():
    pinned = re.search(r"^ray==(\S+)", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert [cluster["rayVersion"] for cluster in clusters()] == [pinned] * 2


def test_the_extras_of_rays_image_exist():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (chosen,), (image,) = re.findall(r"EXTRAS=(\S+)", page), re.findall(r"-t (robo-dialog-ray:\S+)", page)
    assert set(chosen.split(",")) <= set(extras)
    assert {container["image"] for pod in pods() for container in pod["containers"]} == {image}


def test_the_application_and_its_ingress_are_there():
    (application,) = serving()["applications"]
    module, name = application["import_path"].split(":")
    assert re.search(rf"^(def )?{name}\b", MODULES[module].read_text(encoding="utf-8"), re.MULTILINE)
    (servicer,) = serving()["grpc_options"]["grpc_servicer_functions"]
    place, function = servicer.rsplit(".", 1)
    assert callable(getattr(import_module(place), function))
    ports = {one["name"]: one["port"] for one in named("RayService")["spec"]["serveService"]["spec"]["ports"]}
    assert ports == {"serve": 8000, "grpc": serving()["grpc_options"]["port"]}


def test_ray_serve_takes_the_configuration():
    schema = pytest.importorskip("ray.serve.schema", reason="needs the extra ray-serve", exc_type=ImportError)
    from robo_server.ray_serve import Choice, Verdicts

    (application,) = schema.ServeDeploySchema.model_validate(serving()).applications
    assert [one.name for one in application.deployments] == [Verdicts.__name__]
    store = Choice(**application.args).store
    assert all(store in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} for pod in ray_service())
