"""README.md against the disk and the code: its commands, its tree, its exit codes, its links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

import bundles
import recording_files
from conftest import REPOSITORY
from robo_dialog.cli import main
from robo_dialog.errors import EXIT_CODES
from robo_dialog.tune.promote_command import KEPT
from robo_server.demo import asking

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
UNLISTED = {"__init__.py", "py.typed", ".gitignore"}
"""Files that every reader expects and no tree lists."""


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def listed_paths(block: str) -> set[str]:
    """Paths in an indented tree; a folder ends with a slash."""
    paths, parents = set(), []
    for line in block.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [name]
        paths.add("".join(parents))
    return paths


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Files that git knows or would add; a source archive without git cannot be compared."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {name for name in done.stdout.splitlines() if (REPOSITORY / name).is_file()}


def children(folder: str, tracked: set[str]) -> set[str]:
    """What lies directly in `folder` ("" is the root): files, and folders with a slash at the end."""
    inside = (name.removeprefix(folder) for name in tracked if name.startswith(folder))
    found = {name.split("/")[0] + "/" if "/" in name else name for name in inside}
    return {folder + name for name in found if name not in UNLISTED}


def missing_from_tree(listed: set[str], tracked: set[str]) -> set[str]:
    """What lies beside something listed and is not listed itself."""
    opened = {path.rstrip("/").rpartition("/")[0] + "/" for path in listed} - {"/"}
    return {child for folder in opened | {""} for child in children(folder, tracked)} - listed - opened


def test_tree_lists_only_what_exists(tracked):
    listed = listed_paths(section("The tree").split("```\n")[1])
    folders = {"/".join(name.split("/")[: k + 1]) + "/" for name in tracked for k in range(name.count("/"))}
    assert listed - tracked - folders == set()


def test_tree_lists_everything_in_the_folders_that_it_opens(tracked):
    assert missing_from_tree(listed_paths(section("The tree").split("```\n")[1]), tracked) == set()


def test_the_list_of_benchmarks_is_what_lies_there(tracked):
    text = (REPOSITORY / "benchmarks" / "README.md").read_text(encoding="utf-8")
    listed = {f"benchmarks/{path}" for path in listed_paths(text.split("```\n")[1])}
    assert listed == children("benchmarks/", tracked)


def test_the_tree_check_notices_a_new_file_and_a_new_folder():
    listed = listed_paths("a.md   page\npackage/   code\n  one.py   first\n  inner/   closed\n")
    assert listed == {"a.md", "package/", "package/one.py", "package/inner/"}
    tracked = {"a.md", "package/__init__.py", "package/one.py", "package/inner/x.py"}
    assert missing_from_tree(listed, tracked) == set()
    assert missing_from_tree(listed, tracked | {"package/two.py", "new/b.py"}) == {"package/two.py", "new/"}


def test_exit_codes_in_the_readme_are_those_of_the_code():
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)}
    assert told == {0, 1, KEPT, 130, *EXIT_CODES.values()}


@pytest.mark.parametrize(
    "page",
    sorted(
        path.relative_to(REPOSITORY).as_posix()
        for pattern in ("*.md", "deploy/**/*.md", "docs/**/*.md", "episodes/*.md", "server/*.md")
        for path in REPOSITORY.glob(pattern)
    ),
)
def test_links_to_files_lead_somewhere(page):
    path = REPOSITORY / page
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("domain", ["source", "target", "far"])
def test_figures_of_the_embedded_model_are_the_measured_ones(domain):
    path = REPOSITORY / "benchmarks" / "results" / "tiny.json"
    if not path.exists():
        pytest.skip("the embedded model has not been measured")
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    shares = [
        f"{100 * figures[f'{domain}_{name}']:.1f} %"
        for name in ("balanced_accuracy", "recall_success", "recall_failure")
    ]
    row = next(line for line in README.splitlines() if line.startswith(f"| `{domain}`"))
    told = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    assert told == [*shares, f"{figures[f'{domain}_auroc']:.3f}"]


def test_figures_of_self_improvement_are_the_measured_ones():
    path = REPOSITORY / "benchmarks" / "results" / "self_improvement.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    rows = re.findall(r"^\| `(\w+)`: [^|]*\| (.*) \|$", section("Does it help?"), re.MULTILINE)
    assert len(rows) == 8
    for arm, cells in rows:
        rounds = [int(found[1]) for name in figures if (found := re.fullmatch(rf"{arm}_r(\d)_auroc", name))]
        told = int(figures["rounds"]) if arm == "cross_view" else min(rounds)
        accuracy, auroc, state = (
            figures[f"{arm}_r{told}_{name}"] for name in ("balanced_accuracy", "auroc", "state_accuracy")
        )
        assert cells.split(" | ") == [f"{100 * accuracy:.1f} %", f"{auroc:.3f}", f"{100 * state:.1f} %"]


def test_how_much_more_games_are_worth_than_each_control():
    path = REPOSITORY / "benchmarks" / "results" / "self_improvement.jsonl"
    runs = {
        (run["arm"], run["seed"]): run for run in map(json.loads, path.read_text().splitlines()) if run["round"] == 1
    }
    told = re.findall(
        r"(\d\.\d) (?:points )?more than ([^()]+?)\s+\(([^)]+)\)", section("Does it help?").replace("\n", " ")
    )
    controls = {
        "the surest calibrated answers in the same number": "recalibrated_pseudo_labels",
        "plain ones": "pseudo_labels",
        "the same games unfiltered": "unfiltered",
        "same-view games": "same_view",
    }
    assert [name for _, name, _ in told] == list(controls)
    for mean, name, by_seed in told:
        arms = ("cross_view", controls[name])
        games, control = ([runs[arm, seed]["target_balanced_accuracy"] for seed in range(5)] for arm in arms)
        more = [100 * (a - b) for a, b in zip(games, control, strict=True)]
        assert by_seed.removeprefix("by seed ") == ", ".join(f"{one:.1f}" for one in more)
        assert mean == f"{sum(more) / len(more):.1f}"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with recordings, a frame and a video, where a hand-made bundle stands in for the embedded one."""
    (tmp_path / "recordings").mkdir()
    demo = recording_files.demo(0, attrs={"success": True, "ep_meta": '{"lang": "put the red cube on the plate"}'})
    recording_files.write_robomimic(tmp_path / "recordings" / "day.hdf5", {"demo_0": demo})
    (tmp_path / "front.png").write_bytes(bundles.png(bundles.grey(255)))
    recording_files.write_video(tmp_path / "side.mp4", [recording_files.gray(step) for step in range(4)])
    bundle = bundles.write(tmp_path / "bundle")
    monkeypatch.setattr("robo_dialog.models.embedded_bundle", lambda: bundle)
    replaced = f"import pathlib, robo_dialog.models as m; m.embedded_bundle = lambda: pathlib.Path({str(bundle)!r}); "
    monkeypatch.setattr(asking, "_SERVE", replaced + asking._SERVE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_for_own_recordings_run_as_they_stand(workplace, capsys):
    block = re.search(r"```sh\n(.*?)```", section("Your own recordings"), re.DOTALL)[1]
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [command[:2] for command in commands] == [
        ["robo-dialog", w] for w in ("inspect", "ingest", "detect", "serve")
    ]
    for command in commands[:-1]:
        with pytest.raises(SystemExit) as ended:
            main(command[1:])
        assert not ended.value.code, capsys.readouterr().err
    assert commands[-1] == ["robo-dialog", "serve"]
    assert list((workplace / "pool").glob("*.parquet"))


def test_python_client_of_the_readme_gets_a_verdict(workplace, capsys):
    code = re.search(r"```python\n(.*?)```", section("Your own recordings"), re.DOTALL)[1]
    assert "127.0.0.1:50051" in code
    with asking.running_server(workplace / "server.log") as address:
        exec(code.replace("127.0.0.1:50051", address), {})  # noqa: S102 - our own README
    assert capsys.readouterr().out.startswith("SUCCESS 0.99")
