"""Every command of every page, in blocks and in running text, is one that there is, with options that there are."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from importlib import import_module

import pytest

from conftest import REPOSITORY
from robo_dialog.cli import SUMMARIES, _parse
from robo_dialog.completion import options

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENTRIES = PROJECT["entry-points"]["robo_dialog.commands"]
MAKE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "docs/recipes/*.yaml", "deploy/**/*.md", "episodes/*.md", "server/*.md")
    for path in REPOSITORY.glob(pattern)
)
CHECKED = ("robo-dialog", "python", "pip", "make")
"""Programs whose arguments are ours to check."""


def command(name: str):
    module, _, kind = ENTRIES[name].partition(":")
    return getattr(import_module(module), kind)


def lines(text: str) -> list[str]:
    """Shell lines of blocks without a language or with that of a shell, and of the comments of recipes."""
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += ["\n".join(re.findall(r"^#   (.*)$", text, re.MULTILINE))]
    found = "\n".join(blocks).replace("\\\n", "").splitlines()
    return [part.strip() for line in found for part in re.split(r"&&|\|", line.split(" #")[0]) if part.strip()]


def is_checked(line: str) -> bool:
    """Blocks without a language also hold trees, tables and layouts of files."""
    return line.split()[0] in CHECKED


def problem(line: str) -> str | None:
    """Why a command cannot be what is meant."""
    program, *words = shlex.split(line, comments=True)
    if program == "robo-dialog" and words and not words[0].startswith("-"):
        return _problem_of_ours(words)
    if program == "python" and words and not words[0].startswith("-") and not (REPOSITORY / words[0]).exists():
        return f"{words[0]} is not there"
    if program == "make" and not all(re.search(rf"^{word}:", MAKE, re.MULTILINE) for word in words if "=" not in word):
        return "no such target"
    if program == "pip":
        extras = [one for found in re.findall(r"\[([\w,-]+)\]", line) for one in found.split(",")]
        return next((f"no extra {one}" for one in extras if one not in PROJECT["optional-dependencies"]), None)
    return None


def _problem_of_ours(words: list[str]) -> str | None:
    if words[0] not in ENTRIES:
        return "no such command"
    try:
        _parse(command(words[0]), words[0], [word for word in words[1:] if not word.startswith(">")])
    except SystemExit as ended:
        return None if not ended.code else "its options are refused"
    return None


@pytest.fixture
def folder(tmp_path, monkeypatch) -> None:
    """A place where the configuration files of the pages are."""
    (tmp_path / "nightly.yaml").symlink_to(REPOSITORY / "deploy" / "nightly.yaml")
    for name in ("docs", "deploy"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES)
def test_commands_in_blocks_can_be_given(page, capsys):
    found = [line for line in lines((REPOSITORY / page).read_text(encoding="utf-8")) if is_checked(line)]
    problems = {line: told for line in found if (told := problem(line))}
    assert not problems, capsys.readouterr().err


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_commands_in_running_text_have_the_options_that_are_named(page):
    text = re.sub(r"^```.*?^```", "", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for found in re.findall(r"`robo-dialog ([^`]+)`", text):
        name, *words = found.split()
        if name.startswith("-") or name.isupper():
            continue
        assert name in ENTRIES, found
        known = [*options(lambda name=name: _parse(command(name), name, ["--help"])), "--help"]
        assert [word for word in words if word.startswith("--") and word not in known] == [], found


def test_the_checks_see_what_is_wrong():
    assert problem("robo-dialog dance") == "no such command"
    assert problem("robo-dialog serve --prot 1") == "its options are refused"
    assert problem("robo-dialog serve --port 1") is None
    assert problem("make tea") == "no such target"
    assert problem("pip install 'robo-dialog[serve,tea]'") == "no extra tea"
    assert problem("python benchmarks/tea.py") == "benchmarks/tea.py is not there"
    assert lines("```sh\nmake tea && make \\\n test  # now\n```\n") == ["make tea", "make  test"]


def test_every_command_is_on_some_page():
    pages = "".join((REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in SUMMARIES if f"robo-dialog {name}" not in pages and f"`{name}`" not in pages] == []


def test_the_figures_of_the_start_are_the_measured_ones():
    path = REPOSITORY / "benchmarks" / "results" / "ecosystem.json"
    found = json.loads(path.read_text(encoding="utf-8"))["figures"]
    page = (REPOSITORY / "docs" / "start.md").read_text(encoding="utf-8")
    told = {name: float(number) for name, number in re.findall(r"<!-- (\w+) -->([\d.]+)", page)}
    assert told == {name: round(found[name]) for name in ("first_verdict_s", "client_mb")}
