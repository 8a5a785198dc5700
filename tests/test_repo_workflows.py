"""What code hosts read: workflows, templates, hooks. Each is valid, and says what the Makefile and the disk say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from conftest import REPOSITORY

HOST = REPOSITORY / ".github"
WORKFLOWS = sorted((HOST / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((HOST / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
MAKE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def texts(path) -> list[str]:
    """The shell text of every step."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [HOST / "ISSUE_TEMPLATE" / "config.yml"]),
        ("citation-file-format", [REPOSITORY / "CITATION.cff"]),
    ],
)
def test_a_file_of_the_code_host_fits_its_schema(schema, paths):
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_is_there(path):
    content = path.read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\w+)", "\n".join(texts(path))):
        assert re.search(rf"^{target}:", MAKE, re.MULTILINE), target
    for name in re.findall(r"(?:^|[\s(])((?:\.ci|deploy)/[\w./-]+)", content):
        assert (REPOSITORY / name).exists(), name
    for extra in re.findall(r"'\.\[(\w+)\]'", content):
        assert re.search(rf"^{extra} = ", (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_whole_check_runs_for_every_change_and_before_a_release():
    assert ".ci/run" in texts(HOST / "workflows" / "ci.yml")
    assert any(text.endswith(".ci/run") for text in texts(HOST / "workflows" / "release.yml"))


def test_a_release_builds_every_image_that_there_is():
    jobs = yaml.safe_load((HOST / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    built = {f"{name}.Dockerfile" for name in jobs["images"]["strategy"]["matrix"]["image"]}
    assert built == {path.name for path in (REPOSITORY / "deploy").glob("*.Dockerfile")}


def test_nothing_of_a_pull_request_is_put_into_a_shell():
    for path in WORKFLOWS:
        assert not re.findall(r"\$\{\{\s*github\.(?:event|head_ref)", "\n".join(texts(path)))


def test_hooks_are_those_of_the_check():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    checked = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKE, re.MULTILINE)[1]
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        assert shutil.which(program.removeprefix(".venv/bin/")), program
        if words[:1] != ["-m"]:
            assert f"{program.removeprefix('.venv/bin/')} {words[0] if words else ''}".strip() in checked


def test_make_help_lists_every_target():
    asked = ["make", "--no-print-directory", "help"]  # `make` may be what runs this test
    listed = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKE, re.MULTILINE)[1].split())
    assert {line.split()[1] for line in listed.splitlines()} == targets
