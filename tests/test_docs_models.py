"""docs/models.md and the recipes: the commands run, the settings are read, the memory is what it is said to be."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex

import numpy as np
import pytest

pytest.importorskip("peft")
pytest.importorskip("num2words")

import torch
from peft import LoraConfig, get_peft_model

import vlm_families
from conftest import REPOSITORY
from robo_dialog.cli import main
from robo_dialog.config import configured
from robo_dialog.tune.collate import Collator, Item
from robo_dialog.tune.conformance import STEPS
from robo_dialog.tune.examples import Talk
from robo_dialog.tune.role_loss import said
from robo_dialog.tune.tune_command import Tune
from robo_dialog.vlm.chat import Chat

FOLDER = REPOSITORY / "docs" / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
PAGE = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def memory():
    spec = importlib.util.spec_from_file_location("recipes_memory", FOLDER / "memory.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(__import__("sys").modules, "recipes_memory", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_takes_the_memory_that_it_says(memory, path):
    recipe = configured(Tune, path, {}, "NONE_")
    assert recipe.model == f"models/{path.stem}"
    published = memory.MODELS[path.stem]
    settings = {name: getattr(recipe.settings, name) for name in ("rank", "batch", "accumulate", "questions")}
    found = memory.memory(memory.built(published.config), published, settings)
    size, told = re.search(r"one GPU of (\d+) GB: ([\d.]+) GiB", path.read_text(encoding="utf-8")).groups()
    assert f"{found.gib:.1f}" == told
    assert found.gib < 0.9 * int(size) * 1e9 / 2**30
    assert re.search(rf"\({re.escape(f'recipes/{path.name}')}\) \| {size} GB", PAGE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_commands_of_a_recipe_name_existing_commands_and_files(path):
    commands = re.findall(r"^#   robo-dialog (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(command.startswith("tune ") for command in commands)
    for command in commands:
        words = shlex.split(command)
        if "--config" in words:
            assert (REPOSITORY / words[words.index("--config") + 1]) == path


def kept(model, batch) -> int:
    """Bytes that autograd keeps for a batch, without the weights."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage
        return tensor

    labels, learned = batch.pop("labels"), batch.pop("weights")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        said(model, batch, labels, learned)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("family", ["SmolVLM, SmolVLM2", "Qwen3-VL", "PaliGemma 2"])
def test_expected_activations_are_what_autograd_keeps_or_a_little_more(memory, family, monkeypatch):
    wide = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4, "num_key_value_heads": 4}
    for shape in (vlm_families.VISION, vlm_families.TEXT, vlm_families.SIGLIP):
        monkeypatch.setitem(shape, "hidden_size", 256)
        for name in shape.keys() & wide.keys():
            monkeypatch.setitem(shape, name, wide[name])
    monkeypatch.setattr(vlm_families, "WIDTH", 256)
    model, processor = vlm_families.FAMILIES[family]()
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    talk = Talk((("user", "Is the red cube on the plate?"), ("assistant", "yes")))
    batch = Collator(Chat(processor), packed=False)([Item((image,), (talk,))])
    pixels = batch["pixel_values"]
    patches = len(pixels) if pixels.ndim == 2 else pixels[..., 0, :, :].numel() // 14**2
    expected = memory.activations(model, 16, batch["input_ids"].numel(), patches)
    tuned = get_peft_model(model.to(torch.bfloat16), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    assert 1.0 <= expected / kept(tuned, batch) <= 1.4


def test_the_command_of_the_page_checks_a_model(capsys):
    command = shlex.split(re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1], comments=True)
    with pytest.raises(SystemExit) as ended:
        main([*command[1:], "--device", "cpu", "--json"])
    assert ended.value.code == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert {name: step["outcome"] for name, step in steps.items()} == dict.fromkeys(STEPS, "passed")
