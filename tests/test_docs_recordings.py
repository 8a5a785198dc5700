"""docs/recordings.md and the layouts of episodes/README.md: commands run, layouts read what the pages say."""

from __future__ import annotations

import json
import re
import shlex

import h5py
import pytest

import recording_formats as formats
from conftest import REPOSITORY
from reading import episodes, final, own_layout
from recording_files import scene, write_video
from robo_dialog.cli import main
from robo_episodes.episode import Trust
from robo_episodes.pool import FramePool

PAGE = (REPOSITORY / "docs" / "recordings.md").read_text(encoding="utf-8")
README = (REPOSITORY / "episodes" / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The recordings that the page speaks of, and the files that it shows."""
    for number, success in ((1, True), (2, False)):
        name = f"rollout_open_drawer_{number}_{'success' if success else 'failure'}.mp4"
        write_video(tmp_path / "recordings" / name, [scene(number * 10 + step) for step in range(6)])
        write_video(tmp_path / "rollouts" / "videos" / f"{number}.mp4", [scene(number), scene(number + 1)])
    for number, verdict in ((3, "fell"), (4, "done"), (5, "lost power")):
        folder = tmp_path / "kitchen" / "2025-06-01" / f"attempt_{number:03d}"
        for index, name in enumerate(("head.mp4", "hand.mp4", "head_depth.mp4")):
            write_video(folder / name, [scene(number * 10 + index * 3 + step) for step in range(3)])
        told = {"goal": {"text": "put the mug in the sink"}, "verdict": verdict, "operator": "ana"}
        (folder / "attempt.json").write_text(json.dumps(told))
    (tmp_path / "warehouse").mkdir()
    with h5py.File(tmp_path / "warehouse" / "shift_7.h5", "w") as file:
        for number, filled in enumerate((True, False)):
            file[f"attempts/{number}/eyes/left"] = [scene(number)[::-1, :, ::-1]]
            order = {"text": "pack the box", "filled": filled}
            file[f"attempts/{number}"].attrs["order"] = json.dumps(order)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: list[str], capsys) -> dict:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    return json.loads(captured.out)


def test_the_commands_run_as_they_stand(workplace, capsys):
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines]
    outputs = {" ".join(command): run(command, capsys) for command in commands}
    assert len(outputs) == 7
    assert (workplace / "sheet.png").is_file()
    dry, wet = (outputs[f"ingest recordings --out pool --last-k 3 --stride 2{end}"] for end in (" --dry-run", ""))
    assert dry["added"] == wet["added"] == 6
    assert {row.steps_from_end for row in FramePool.open(workplace / "pool").rows()} == {0, 2, 4}
    assert outputs["inspect rollouts"]["labels"] == {"success": 1, "failure": 1, "none": 0}
    assert outputs["inspect warehouse --layout warehouse.yaml"]["labels"] == {"success": 1, "failure": 1, "none": 0}
    kitchen = outputs["inspect kitchen --layout kitchen.yaml"]
    assert (kitchen["episodes"], kitchen["labels"]) == (3, {"success": 1, "failure": 1, "none": 1})
    assert {"left_out", "unclear_label"} <= {warning["code"] for warning in kitchen["warnings"]}
    assert outputs["ingest kitchen --layout kitchen.yaml --out kitchen-pool"]["added"] == 6


def test_a_new_format_takes_at_most_15_lines(workplace):
    layouts = [content for name, content in FILES.items() if name.endswith(".yaml")]
    assert len(layouts) == 2
    assert all(len(content.splitlines()) <= 15 for content in layouts)


def test_the_invented_formats_are_read_as_the_page_says(workplace):
    kitchen = episodes(workplace / "kitchen", layouts=own_layout(workplace, FILES["kitchen.yaml"]))
    assert {tuple(episode.cameras) for episode in kitchen} == {("hand", "head")}
    assert {(episode.instruction, episode.metadata["operator"]) for episode in kitchen} == {
        ("put the mug in the sink", "ana")
    }
    assert [(episode.success, episode.trust) for episode in kitchen] == [
        (False, Trust.LABEL),
        (True, Trust.LABEL),
        (None, Trust.NONE),
    ]
    warehouse = episodes(workplace / "warehouse", layouts=own_layout(workplace, FILES["warehouse.yaml"]))
    assert [(final(episode, "left") == scene(number)).all() for number, episode in enumerate(warehouse)] == [True, True]


def test_the_options_of_the_page_exist(workplace, capsys):
    with pytest.raises(SystemExit):
        main(["ingest", "--help"])
    told = capsys.readouterr().out
    for option in set(re.findall(r"--[a-z-]+", PAGE)) - {"--sheet"}:
        assert option in told, option


def test_the_python_of_the_page_runs(workplace, capsys):
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], {})  # noqa: S102 - our own page
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "attempt_003@" in lines[0]
    assert "put the mug in the sink False ['hand', 'head']" in lines[0]


def test_the_layouts_of_the_readme_read_what_they_are_for(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    layouts = own_layout(tmp_path, "\n".join(blocks))
    for attempt in ("Ground_Truth", "1_trans_x_2"):
        for camera in ("front", "side", "wrist"):
            for step in (0, 1, 10):
                formats.write_png(tmp_path / "FailPickCube-v1" / "0" / attempt / camera / f"{step}.png", scene(step))
    found = episodes(tmp_path / "FailPickCube-v1", layouts=layouts, instruction="pick up the red cube")
    assert [(episode.success, list(episode.cameras)) for episode in found] == [
        (False, ["front", "side", "wrist"]),
        (True, ["front", "side", "wrist"]),
    ]
    assert all((final(episode, "wrist") == scene(10)).all() for episode in found)


def test_the_readme_layout_with_a_file_a_camera_reads_the_sample(samples, tmp_path):
    block = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[1]
    (episode,) = episodes(samples / "robo_dopamine_raw", layouts=own_layout(tmp_path, block))
    assert {name: source.length for name, source in episode.cameras.items()} == {
        "high": 1277,
        "left_wrist": 1277,
        "right_wrist": 1277,
    }
    assert episode.instruction == json.loads((samples / "robo_dopamine_raw" / "task_instruction.json").read_text())[0]


def test_the_figures_of_reading_are_the_measured_ones():
    figures = json.loads((REPOSITORY / "benchmarks" / "results" / "ingest.json").read_text())["figures"]
    for words, name in (("AV1 as LeRobot writes it", "av1"), ("long H.264", "h264_long")):
        whole, lerobot, best = (figures[f"{name}_vs_{other}"] for other in ("whole_file", "lerobot", "best_peer"))
        assert f"| {words} | {whole:.1f} | {lerobot:.2f} | {best:.2f} |" in README
    assert f"divided by {figures['hdf5_contiguous_vs_raw']:.2f}." in README
    assert f"reaches {figures['share_of_decode_limit']:.0%} of" in README
