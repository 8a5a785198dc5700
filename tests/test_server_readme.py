"""What server/README.md says can be done."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import tyro
from google.protobuf import json_format

import bundles
from robo_dialog.detect import Detector
from robo_dialog.detect.signature import Signer
from robo_dialog.models.command import Models
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server.command import Serve
from robo_server.security import Security
from robo_server.tokens import Caller, Scope, TokenFile
from server_fakes import LONG_S, jpeg, serving, stub_of

ADDRESS = "127.0.0.1:50051"


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "server" / "README.md").read_text(encoding="utf-8")


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (0, "SUCCESS 0.99"),
        (1, "verdict: RemoteVerdict(outcome=<Outcome.FAILURE"),
        (2, "['SUCCESS', 'SUCCESS']"),
    ],
)
def test_the_python_examples_run(readme, tmp_path, index, words):
    (tmp_path / "final.jpg").write_bytes(jpeg())
    with serving() as served:
        code = blocks(readme, "python")[index].replace(ADDRESS, served.address)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(words)


def test_the_serve_commands_parse(readme):
    lines = [line for block in blocks(readme, "bash") for line in block.splitlines() if line.startswith("robo-dialog")]
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert [name for name, *_ in commands] == ["serve"] * 4 + ["models"] * 5
    for name, *arguments in commands:
        tyro.cli({"serve": Serve, "models": Models}[name], args=arguments)


GRPCURL = """#!/bin/sh
for last; do :; done
echo "$last" >> methods
case "$*" in *-d*) cat > request.json;; esac
"""


def test_the_grpcurl_commands_send_requests_that_the_contract_knows(readme, tmp_path):
    """grpcurl itself is not needed: a stand-in records what it was given."""
    (tmp_path / "final.jpg").write_bytes(jpeg())
    (tmp_path / "grpcurl").write_text(GRPCURL)
    (tmp_path / "grpcurl").chmod(0o755)
    (block,) = (block for block in blocks(readme, "bash") if "grpcurl" in block)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", block], cwd=tmp_path, env=environment, check=True)
    service = pb.DESCRIPTOR.services_by_name["SuccessDetectorService"]
    names = [name.split("/") for name in (tmp_path / "methods").read_text().split()]
    assert [name for name, _ in names] == [service.full_name] * 2
    assert all(method in service.methods_by_name for _, method in names)
    request = json_format.Parse((tmp_path / "request.json").read_text(), pb.IsSuccessRequest())
    with serving() as served, stub_of(served.address) as stub:
        assert stub.IsSuccess(request, timeout=LONG_S).verdict == pb.VERDICT_SUCCESS


def test_every_flag_and_its_default_is_in_the_table(readme):
    lines = re.findall(r"^\| (`--.+?`) \| (.+?) \|", readme, re.MULTILINE)
    rows = {name: default for names, default in lines for name in re.findall(r"`--([a-z-]+)`", names)}
    fields = {field.name.replace("_", "-"): field.default for field in dataclasses.fields(Serve)}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        if isinstance(default, str | int | float) and not isinstance(default, bool):
            assert rows[name] == f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_status_of_the_table_is_a_status(readme):
    section = readme[readme.index("## Status codes") : readme.index("## Flags")]
    names = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    assert len(names) == 12
    assert all(hasattr(grpc.StatusCode, name) for name in names)


def test_commands_for_tokens_and_signatures_run_as_they_stand(readme, tmp_path):
    section = readme[readme.index("## Security") : readme.index("## Operations")]
    tokens, signing = blocks(section, "bash")
    bundle = bundles.write(tmp_path / "my-bundle")
    signing = "\n".join(line for line in signing.splitlines() if not line.startswith("robo-dialog"))
    for block in (tokens, signing):
        subprocess.run(["bash", "-ec", block], cwd=tmp_path, check=True, capture_output=True)
    caller = TokenFile(tmp_path / "tokens").caller((tmp_path / "robot-7.token").read_text().strip())
    assert caller == Caller("robot-7", frozenset({Scope.INFER}))
    assert Detector.load(bundle, threads=1, signer=Signer.read(tmp_path / "public.pem"))


def test_the_systemd_unit_starts_a_server_that_may_be_reached(repository):
    unit = (repository / "deploy" / "systemd" / "robo-dialog-serve.service").read_text(encoding="utf-8")
    (start,) = re.findall(r"^ExecStart=\S+ serve (.*)$", unit, re.MULTILINE)
    serve = tyro.cli(Serve, args=shlex.split(start))
    Security(serve.tls_cert, serve.tls_key, serve.tls_client_ca, serve.tokens).require_for(serve.host)
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop_s) > serve.grace


def test_every_file_of_the_server_is_listed(readme, repository):
    section = readme[readme.index("## Files") :]
    listed = set(re.findall(r"`([a-z_]+\.py)`", section))
    folder = repository / "server" / "robo_server"
    assert listed == {path.name for path in folder.glob("*.py")} - {"__init__.py"}
