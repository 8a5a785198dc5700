"""docs/study.md against benchmarks/results."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
PAGE = (REPOSITORY / "docs" / "study.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> dict[str, list[str]]:
    """Cells of a table by the name that a row begins with."""
    found = re.findall(r"^\| `(\w+)`: [^|]*\| (.*) \|$", section(title), re.MULTILINE)
    assert found
    return {name: cells.split(" | ") for name, cells in found}


def figures(name: str) -> dict[str, float]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def recipe(name: str, seeds: tuple[int, ...], key: str) -> float:
    """Mean over the pools that were tuned on."""
    runs = map(json.loads, (RESULTS / "recipe.jsonl").read_text().splitlines())
    found = {run["seed"]: run[key] for run in runs if run["variant"] == name and "balanced_accuracy" in run}
    return float(np.mean([found[seed] for seed in seeds]))


def test_what_of_the_recipe_counts():
    found = figures("recipe")
    for name, cells in rows("What of the recipe counts").items():
        points = [found[f"{name}_{key}"] for key in ("points", "least", "most") if name != "recipe"]
        beside = "{:+.1f} ({:+.1f}, {:+.1f})".format(*points) if points else ""
        answers, *shares = (recipe(name, (0, 1), key) for key in ("answers", "right", "balanced_accuracy", "source"))
        right, accuracy, source = map(percent, shares)
        assert [cell.strip() for cell in cells] == [f"{answers:,.0f}", right, accuracy, beside, source]
        assert name == "recipe" or found[f"{name}_seeds"] == 2


def test_which_game():
    for name, cells in rows("Which game").items():
        answers, right, accuracy = (recipe(name, (2,), key) for key in ("answers", "right", "balanced_accuracy"))
        points = 100 * (accuracy - recipe("recipe", (2,), "balanced_accuracy"))
        beside = "" if name == "recipe" else f"{points:+.1f}"
        assert [cell.strip() for cell in cells] == [f"{answers:,.0f}", percent(right), percent(accuracy), beside]


def test_which_game_in_another_lab():
    title, found = "Which game, in another lab", figures("rehearsal")
    for name, cells in rows(title).items():
        points = [found[f"{name}_{key}"] for key in ("points", "least", "most") if name != "recipe"]
        beside = "{:+.1f} ({:+.1f}, {:+.1f})".format(*points) if points else ""
        shares = [percent(found[f"{name}_{key}"]) for key in ("right", "balanced_accuracy")]
        told = [f"{found[f'{name}_answers']:,.0f}", *shares, beside, f"{found[f'{name}_auroc']:.3f}"]
        assert [cell.strip() for cell in cells] == told
        assert found[f"{name}_seeds"] == 4
    for name in ("base", "recalibrated", "recipe"):
        assert percent(found[f"{name}_balanced_accuracy"]) in section(title)


def test_distractors_that_look_alike_are_told_of_their_pool():
    lines = (RESULTS / "rehearsal.jsonl").read_text(encoding="utf-8").splitlines()
    runs = {run["variant"]: run for run in map(json.loads, lines) if run["seed"] == 0}
    accuracies, aurocs = ([runs[name][key] for name in ("nearest", "recipe")] for key in ("balanced_accuracy", "auroc"))
    text = section("Which game, in another lab").replace("\n", " ")
    assert "{} beside {} of the recipe".format(*map(percent, accuracies)) in text
    assert "an AUROC of {:.3f} beside {:.3f}, the worst".format(*aurocs) in text
    games = [run for name, run in runs.items() if name not in ("base", "recalibrated")]
    assert min(run["auroc"] for run in games) == aurocs[0]


def test_what_limits_it():
    runs = [json.loads(line) for line in (RESULTS / "self_improvement.jsonl").read_text().splitlines()]
    arms = (("base", 0), ("cross_view", 1), ("cross_view", 3), ("supervised", 1))
    by_arm = [[run["target_by_family"] for run in runs if (run["arm"], run["round"]) == arm] for arm in arms]
    means = {name: [float(np.mean([one[name] for one in some])) for some in by_arm] for name in by_arm[0][0]}
    told = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section("What limits it"), re.MULTILINE)
    assert {name: cells.split(" | ") for name, cells in told} == {
        name: [percent(mean) for mean in some] for name, some in means.items()
    }
    gains = [100 * (figures("self_improvement")[f"cross_view_r{n}_balanced_accuracy"]) for n in (1, 2, 3)]
    base = 100 * figures("self_improvement")["base_r0_balanced_accuracy"]
    assert "{:.1f}, {:.1f} and {:.1f} points over the base".format(*(gain - base for gain in gains)) in PAGE


def test_do_controls_catch_up():
    title = "Do controls catch up with more rounds?"
    runs = [json.loads(line) for line in (RESULTS / "self_improvement.jsonl").read_text().splitlines()]
    by = {(run["arm"], run["round"]): run for run in runs if run["seed"] == 0}
    accuracy = "target_balanced_accuracy"
    for name, cells in rows(title).items():
        three = [by[name, number] for number in (1, 2, 3)]
        told = [f"{percent(one[accuracy])} ({one['target_auroc']:.3f})" for one in three]
        assert cells == [*told, percent(three[-1]["state_accuracy"])]
    behind = [by["cross_view", n][accuracy] - by["recalibrated_pseudo_labels", n][accuracy] for n in (1, 2, 3)]
    assert f"{100 * min(behind):.1f} to {100 * max(behind):.1f} points behind" in section(title)
    gain = by["supervised", 3][accuracy] - by["base", 0][accuracy]
    assert f"end {100 * gain:.1f} points above the base" in section(title)


def test_what_the_gate_lets_through():
    title, found = "What the gate lets through", figures("gates")
    told = re.findall(r"^\| (\d) \| (\d) \| (\d) \|$", section(title), re.MULTILINE)
    assert told == [(f"{n}", f"{found[f'r{n}_decided']:.0f}", f"{found[f'r{n}_promoted']:.0f}") for n in (1, 2, 3)]
    assert percent(found["served_balanced_accuracy"]) in section(title)
    assert f"{found['worst_seed_change']:.1f} points above the base" in section(title)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"the five end at {percent(found['served_balanced_accuracy'])}" in readme


def test_does_any_kind_of_instruction_lose():
    title, found = "Does any kind of instruction lose?", figures("families")
    for name, cells in rows(title).items():
        told = [percent(found[f"{name}_base"])]
        for what in ("cross_view_r3", "served"):
            change = [found[f"{name}_{key}_{what}"] for key in ("change", "change_lo", "change_hi")]
            told += [percent(found[f"{name}_{what}"]), "{:+.1f} ({:+.1f} to {:+.1f})".format(*change)]
        assert cells == [*told, percent(found[f"{name}_supervised_r1"])]
    assert f"{found['episodes']:,} others" in section(title)
    for name in ("base", "cross_view_r3", "served", "supervised_r1"):
        assert percent(found[name]) in section(title)


def test_what_averaging_does():
    plain, averaged = (
        {f"{run['arm']}_r{run['round']}_{run['seed']}": run for run in map(json.loads, path.read_text().splitlines())}
        for path in (RESULTS / "self_improvement_plain.jsonl", RESULTS / "self_improvement.jsonl")
    )
    for name, (seeds, *cells) in rows("What averaging does").items():
        both = [key for key in plain if key.rpartition("_")[0] == name and key in averaged]
        assert len(both) == int(seeds)
        means = [
            float(np.mean([runs[key][f"{domain}_balanced_accuracy"] for key in both]))
            for domain in ("target", "source")
            for runs in (plain, averaged)
        ]
        assert cells == [percent(mean) for mean in means]


def test_games_or_more_looks():
    found = figures("compute_account")
    told = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", section("Games, or more looks at every verdict"), re.MULTILINE)
    assert [int(looks) for looks, *_ in told] == [1, 2, 4, 8, 16]
    for looks, *cells in told:
        both = [f"{name}_{looks}_looks" for name in ("untrained", "games")]
        assert cells == [f"{percent(found[f'{key}_balanced_accuracy'])} ({found[f'{key}_auroc']:.3f})" for key in both]
    assert f"{found['break_even_verdicts']:,.0f} verdicts" in PAGE


def test_how_many_labels_are_as_good():
    runs = [json.loads(line) for line in (RESULTS / "labels_needed.jsonl").read_text().splitlines()]
    told = re.findall(r"^\| ([\d,]+) \| (.*) \| (.*) \|$", section("How many labels are as good"), re.MULTILINE)
    sizes = sorted({run["episodes"] for run in runs})
    assert [size for size, *_ in told] == [f"{size:,}" for size in sizes]
    for (_, *cells), size in zip(told, sizes, strict=True):
        same = [run for run in runs if run["episodes"] == size]
        assert len({run["seed"] for run in same}) == 2
        accuracy, area = (float(np.mean([run[key] for run in same])) for key in ("balanced_accuracy", "auroc"))
        assert cells == [percent(accuracy), f"{area:.3f}"]


def test_what_it_is_worth_elsewhere():
    found = figures("transfer")
    for name, cells in rows("What it is worth elsewhere").items():
        both = [
            (found[f"{name}_{d}_balanced_accuracy"], found[f"{name}_{d}_auroc"]) for d in ("source", "target", "far")
        ]
        assert cells == [f"{percent(accuracy)} ({area:.3f})" for accuracy, area in both]


def test_another_architecture():
    files = (RESULTS / f"{name}.jsonl" for name in ("self_improvement", "self_improvement_qwen3"))
    runs = [[json.loads(line) for line in path.read_text().splitlines()] for path in files]
    seeds = {run["seed"] for run in runs[1]}
    assert len(seeds) == 2
    for name, cells in rows("Another architecture").items():
        told = []
        for some in runs:
            same = [run for run in some if f"{run['arm']}_r{run['round']}" == name and run["seed"] in seeds]
            assert {run["seed"] for run in same} == seeds
            keys = ("target_balanced_accuracy", "target_auroc", "state_accuracy")
            accuracy, area, state = (float(np.mean([run[key] for run in same])) for key in keys)
            told += [f"{percent(accuracy)} ({area:.3f})", percent(state)]
        assert cells == told
    found, readme = figures("self_improvement_qwen3"), (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in ("base_r0", "cross_view_r1", "recalibrated_pseudo_labels_r1"):
        assert f"({percent(found[f'{name}_balanced_accuracy'])})" in readme
    share = found["tuning_share_of_upper_bound"]
    assert f"closes {100 * share:.0f} % of the distance" in section("Another architecture")


def test_a_second_simulator():
    found = figures("metaworld")
    for name, cells in rows("A second simulator").items():
        shares = [percent(found[f"{name}_{key}"]) for key in ("balanced_accuracy", "ranking_share")]
        assert cells == [shares[0], f"{found[f'{name}_auroc']:.3f}", shares[1]]


def test_questions_that_are_not_yes_no():
    found = figures("question_types")
    told = rows("Questions that are not yes/no")
    assert {f"base_target_{name}_commonest" for name in told} <= set(found)
    for name, cells in told.items():
        both = [
            [percent(found[f"{model}_{name}_{how}"]) for how in ("asked", "in_parts")]
            for model in ("base_source", "base_target", "after_r3_target")
        ]
        assert cells == [percent(found[f"base_target_{name}_commonest"]), *(", ".join(one) for one in both)]


@pytest.mark.parametrize("name", ["lucky_share", "won_same_view", "won_cross_view"])
def test_luck_and_pixel_talk(name):
    value = figures("play")[name]
    assert any(told in section("Luck and pixel talk") for told in (f"{value}", f"{100 * value:.1f} %"))
