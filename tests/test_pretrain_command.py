"""`robo-dialog pretrain` from nothing to a bundle, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mujoco")

from robo_dialog.cli import main
from robo_dialog.detect.detector import Detector
from robo_dialog.vlm.transformers_vlm import TransformersVLM
from robo_episodes.errors import RoboDialogError
from robo_episodes.sim.render import Camera
from robo_episodes.sim.world import World


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    small = {
        "--out": tmp_path / "out",
        "--work": tmp_path / "work",
        "--episodes": 3,
        "--calibration-episodes": 40,
        "--workers": 1,
        "--recipe.vision-steps": 2,
        "--recipe.vision-batch": 4,
        "--recipe.steps": 2,
        "--recipe.batch": 4,
        "--recipe.game-steps": 1,
    }
    return [str(word) for pair in small.items() for word in pair]


def test_it_ends_with_a_checkpoint_and_a_verified_bundle(tmp_path, options, monkeypatch, capsys):
    try:
        Camera(World())
    except RoboDialogError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("robo_dialog.pretrain.data.SHARD_EPISODES", 3)
    assert run(*options, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert 0 <= summary["calibration_auroc"] <= 1
    assert TransformersVLM(summary["checkpoint"], device="cpu").parameters > 2_000_000
    assert Detector.load(Path(summary["bundle"])).manifest.name == "tiny"


def test_a_work_folder_of_another_recipe_is_refused(tmp_path, options, capsys):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "recipe.json").write_text('{"episodes": 7}')
    assert run(*options) == 2
    assert "choose another --work" in capsys.readouterr().err
