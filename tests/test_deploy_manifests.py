"""deploy/: Kubernetes, compose and systemd, checked by their own schemas and against the commands that they start."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import jsonpatch
import kubernetes_validate
import pytest
import tyro
import yaml

from conftest import REPOSITORY
from robo_server.command import Serve
from robo_server.ready_command import Ready
from robo_server.security import Security

DEPLOY = REPOSITORY / "deploy"
BASE, GPU = DEPLOY / "kubernetes" / "base", DEPLOY / "kubernetes" / "gpu"
COMPOSE = DEPLOY / "compose"
UNITS = sorted((DEPLOY / "systemd").iterdir())
VERSIONS = ("1.31", "1.37")
"""Oldest and newest Kubernetes for which the manifests are checked."""

KINDS = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "CronJob"}


def documents(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def resources() -> list[dict]:
    (kustomization,) = documents(BASE / "kustomization.yaml")
    return [one for name in kustomization["resources"] for one in documents(BASE / name)]


def with_gpu() -> list[dict]:
    """The overlay, as kustomize would apply it: JSON patches on the named resources."""
    (overlay,) = documents(GPU / "kustomization.yaml")
    found = {(one["kind"], one["metadata"]["name"]): one for one in resources()}
    for entry in overlay["patches"]:
        key = (entry["target"]["kind"], entry["target"]["name"])
        found[key] = jsonpatch.apply_patch(found[key], yaml.safe_load(entry["patch"]))
    return list(found.values())


def pods(found: list[dict]) -> Iterator[dict]:
    for one in found:
        if one["kind"] == "Deployment":
            yield one["spec"]["template"]["spec"]
        if one["kind"] == "CronJob":
            yield one["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def named(kind: str, name: str) -> dict:
    return next(one for one in resources() if (one["kind"], one["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("made", [resources, with_gpu])
def test_manifests_follow_the_schemas_of_kubernetes(made, version):
    found = made()
    kinds = {one["kind"] for one in found}
    assert kinds >= {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "CronJob",
    }
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_refuse_an_option_that_does_not_exist():
    wrong = named("CronJob", "nightly")
    wrong["spec"]["concurency"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_manifest_belongs_to_the_kustomization():
    (kustomization,) = documents(BASE / "kustomization.yaml")
    assert {path.name for path in BASE.iterdir()} == {*kustomization["resources"], "kustomization.yaml"}
    names = {image["name"] for image in kustomization["images"]}
    assert {container["image"] for pod in pods(resources()) for container in pod["containers"]} == names


def test_pods_run_without_rights():
    found = list(pods(with_gpu()))
    assert len(found) == 2
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_a_gpu_is_asked_for_by_the_overlay_alone():
    limits = [pod["containers"][0]["resources"]["limits"] for pod in pods(with_gpu())]
    assert [one["nvidia.com/gpu"] for one in limits] == ["1", "1"]
    assert all("nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"] for pod in pods(resources()))


def test_two_nights_never_run_at_once():
    assert named("CronJob", "nightly")["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_deployment_starts_a_server_that_may_be_reached():
    pod = named("Deployment", "robo-dialog")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    name, *arguments = container["args"]
    serve = tyro.cli(Serve, args=arguments)
    Security(serve.tls_cert, serve.tls_key, serve.tls_client_ca, serve.tokens).require_for(serve.host)
    assert name == "serve"
    assert {port["containerPort"] for port in container["ports"]} == {serve.port, serve.metrics_port}
    assert pod["terminationGracePeriodSeconds"] > serve.grace
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(serve.store), str(serve.tokens.parent)} <= mounts


def test_the_readiness_probe_is_a_command_with_options_that_exist():
    (container,) = named("Deployment", "robo-dialog")["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]
    assert probe["exec"]["command"] == ["robo-dialog", "ready"]
    options = {one["name"].removeprefix("ROBO_DIALOG_READY_").lower() for one in container["env"]}
    assert options <= set(Ready.__dataclass_fields__)
    assert probe["timeoutSeconds"] > Ready.timeout


def test_the_compose_file_follows_its_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, COMPOSE / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_compose_mounts_from_the_repository_exists():
    (content,) = documents(COMPOSE / "compose.yaml")
    volumes = [volume for service in content["services"].values() for volume in service["volumes"]]
    files = [volume.split(":")[0] for volume in volumes if volume.startswith(".")]
    assert len(files) == 5
    assert [name for name in files if not (COMPOSE / name).exists()] == []
    for service in content["services"].values():
        if "build" in service:
            assert (COMPOSE / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_compose_starts_commands_that_exist():
    (content,) = documents(COMPOSE / "compose.yaml")
    name, *arguments = content["services"]["server"]["command"]
    serve = tyro.cli(Serve, args=arguments)
    assert (name, serve.metrics_port) == ("serve", 9464)
    (scraped,) = documents(COMPOSE / "prometheus.yml")
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": ["server:9464"]}]


def test_servers_keep_no_frames_for_which_their_image_lacks_the_package():
    packages = (DEPLOY / "image" / "server.txt").read_text(encoding="utf-8").splitlines()
    (content,) = documents(COMPOSE / "compose.yaml")
    pod = named("Deployment", "robo-dialog")["spec"]["template"]["spec"]
    for _, *words in (content["services"]["server"]["command"], pod["containers"][0]["args"]):
        serve = tyro.cli(Serve, args=words)
        assert "pyarrow" in packages or serve.record is None or serve.record_rate == 0


def test_containers_of_compose_run_without_rights():
    (content,) = documents(COMPOSE / "compose.yaml")
    for name, service in content["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service["image"].endswith(":latest")


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd here")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units_as_they_are(unit, analyze, tmp_path):
    for path in UNITS:  # a timer is looked at together with its service
        text = path.read_text(encoding="utf-8").replace("/opt/robo-dialog/bin/robo-dialog", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run([analyze, "verify", tmp_path / unit.name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda path: path.name)
def test_services_can_do_little_harm(unit, analyze):
    command = [analyze, "security", "--offline=true", "--threshold=20", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_both_services_share_one_folder_as_one_user():
    users = [re.findall(r"^(?:DynamicUser|User|StateDirectory)=.*$", unit.read_text(), re.MULTILINE) for unit in UNITS]
    services = [found for found in users if found]
    assert services == [["DynamicUser=yes", "User=robo-dialog", "StateDirectory=robo-dialog"]] * 2


def test_the_container_health_check_parses():
    text = (DEPLOY / "server.Dockerfile").read_text(encoding="utf-8")
    check = yaml.safe_load(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)[1])
    assert check[:2] == ["robo-dialog", "ready"]
    tyro.cli(Ready, args=check[2:])
    command = yaml.safe_load(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    assert command[0] == "serve"
    tyro.cli(Serve, args=[shlex.quote(one) for one in command[1:]])
