"""The page of a run of dialog games, from dialogs and frames made up here."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from robo_dialog.errors import ConfigError, PoolError
from robo_dialog.pages import SIDE
from robo_dialog.play.dialog import Dialog, DialogTurn, View
from robo_dialog.play.filters import REASONS
from robo_dialog.play.report import count, frame_ids, render, sample
from robo_dialog.play.report_command import Report
from robo_episodes.episode import Trust
from robo_episodes.images import encode_png, encoded_size
from robo_episodes.pool_rows import FrameRow, frame_id
from robo_episodes.pool_writer import writing


def picture(seed: int, side: int = 8) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


PNGS = {frame_id(png): png for png in map(picture, range(4))}
FRAMES = list(PNGS)


def view(place: int, **changes) -> View:
    return replace(View(FRAMES[place], f"episode {place}", "front", 0), **changes)


def game(number: int, *reasons: str, question: str = "Is the drawer open?", **changes) -> Dialog:
    won = Dialog(
        game_id=number,
        seed=3,
        round=0,
        model="ab" * 32,
        guesser="likelihood",
        pairing="cross_view",
        sampling="same_task",
        instruction="open the drawer",
        candidates=tuple(map(view, range(4))),
        target=1,
        describer=view(1),
        turns=(DialogTurn(question, "sampled", True, 0.9, 0.7, (0.2, 0.8, 0.3, 0.4), (0.85, 0.4)),),
        guesses=(1, 1, 1, 1),
        blank_guess=2,
        outcome="won",
    )
    return replace(won, **changes).judged(reasons)


def embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_counts_are_of_every_game_and_of_every_reason():
    lost = {"outcome": "lost", "guesses": (0, 1, 1, 1)}
    dialogs = [
        game(0),
        game(1, "lucky", "inconsistent"),
        game(2, "lost", **lost),
        game(3, "inconsistent"),
        game(4, "aborted", outcome="aborted", guesses=(), blank_guess=None, abort_reason="HTTP 500"),
        replace(game(5), kept=False),
    ]
    counts = count(dialogs)
    assert (counts.games, counts.won, counts.lost, counts.aborted) == (6, 4, 1, 1)
    assert (counts.kept, counts.unfiltered) == (1, 1)
    assert list(counts.reasons.items()) == [("inconsistent", 2), ("aborted", 1), ("lost", 1), ("lucky", 1)]
    assert counts.rejected == {"inconsistent": 1, "aborted": 1, "lost": 1, "lucky": 1}
    assert counts.kept + counts.unfiltered + sum(counts.rejected.values()) == counts.games


def test_sample_holds_kept_games_and_every_reason_however_rare():
    dialogs = [game(number, "lost") for number in range(500)]
    dialogs += [game(500 + number, reason) for number, reason in enumerate(REASONS)]
    dialogs += [game(600), replace(game(601), kept=False)]
    for seed in range(5):
        shown = sample(dialogs, len(REASONS) + 2, seed)
        assert {reason for dialog in shown for reason in dialog.reasons} == set(REASONS)
        assert any(dialog.kept for dialog in shown)
        assert any(not dialog.kept and not dialog.reasons for dialog in shown)


def test_half_of_the_sample_is_kept_games_where_there_are_enough():
    dialogs = [game(number, *([("lost", "lucky")[number % 2]] if number % 10 else [])) for number in range(1000)]
    shown = sample(dialogs, 100, 0)
    assert sum(dialog.kept for dialog in shown) == pytest.approx(50, abs=2)
    assert sum(dialog.reasons == ("lucky",) for dialog in shown) == pytest.approx(25, abs=2)


def test_sample_is_of_the_wanted_size_in_the_order_of_the_run_and_fixed_by_its_seed():
    dialogs = [game(number, *(() if number % 3 else ("lost",))) for number in range(50)]
    numbers = [dialog.game_id for dialog in sample(dialogs, 20, 7)]
    assert len(numbers) == 20
    assert numbers == sorted(set(numbers))
    assert numbers == [dialog.game_id for dialog in sample(dialogs, 20, 7)]
    assert numbers != [dialog.game_id for dialog in sample(dialogs, 20, 8)]
    assert sample(dialogs, 99, 0) == dialogs


def test_sample_of_no_game_is_refused():
    with pytest.raises(ConfigError, match="--games is 0"):
        sample([game(0)], 0, 0)


def test_page_loads_nothing_from_anywhere():
    page = render("run", [game(0)], [game(0)], PNGS)
    assert "default-src 'none'" in page
    assert not re.findall(r"https?:|//[a-z]|@import|url\(|<link|<script src|<img", page.split("<body>")[0])
    markup = re.sub(r'(<script type="application/json" id="data">).*?(</script>)', r"\1\2", page, flags=re.DOTALL)
    assert not re.findall(r"https?:|@import|url\(|<link|<script src|<img|fetch\(|XMLHttpRequest|import\(", markup)
    assert all(url.startswith("data:image/") for url in embedded(page)["images"].values())


def test_page_holds_every_number_of_a_shown_game():
    shown = game(7, "inconsistent")
    data = embedded(render("run", [shown], [shown], PNGS))
    assert data["games"][0]["turns"][0] == {
        "question": "Is the drawer open?",
        "source": "sampled",
        "answer": True,
        "p_yes": 0.9,
        "raw_p_yes": 0.7,
        "candidate_p_yes": [0.2, 0.8, 0.3, 0.4],
        "checks": [0.85, 0.4],
    }
    assert data["games"][0]["guesses"] == [1, 1, 1, 1]
    assert data["games"][0]["reasons"] == ["inconsistent"]


def test_page_explains_every_reason_that_the_filters_give():
    explained = re.search(r"const meanings = \{(.*?)\};", render("run", [], [], {}), re.DOTALL)
    assert set(re.findall(r"(\w+): \"", explained[1])) == set(REASONS)


def test_charts_are_of_all_games_not_of_the_shown_ones():
    dialogs = [
        game(0, question="Is it red?"),
        game(1, "lost", sampling="random"),
        game(2, pairing="same"),
        game(3, "lost"),
    ]
    data = embedded(render("run", dialogs, dialogs[:1], PNGS))
    assert data["sampling"] == [{"name": "random", "games": 1, "kept": 0}, {"name": "same_task", "games": 3, "kept": 2}]
    assert data["pairing"] == [{"name": "cross_view", "games": 3, "kept": 1}, {"name": "same", "games": 1, "kept": 1}]
    assert data["questions"] == {
        "asked": 4,
        "distinct": 2,
        "top": [{"text": "Is the drawer open?", "count": 3}, {"text": "Is it red?", "count": 1}],
    }
    assert data["chance"] == 0.25
    assert [one["game_id"] for one in data["games"]] == [0]


def test_image_of_a_frame_is_embedded_once_however_many_games_show_it():
    shown = [game(0), game(1), game(2, "lost")]
    page = render("run", shown, shown, PNGS)
    assert set(embedded(page)["images"]) == set(FRAMES)
    for png in PNGS.values():
        assert page.count(base64.b64encode(png).decode()) == 1


def test_augmented_view_is_shown_as_it_was_seen():
    shown = [game(0), game(1, describer=view(1, augmentation=5)), game(2, describer=view(1, augmentation=6))]
    data = embedded(render("run", shown, shown, PNGS))
    keys = [one["describer"]["image"] for one in data["games"]]
    assert len({data["images"][key] for key in keys}) == 3
    assert data["games"][1]["candidates"][1]["image"] == keys[0]


def test_large_frames_are_embedded_smaller():
    large = encode_png(np.zeros((3 * SIDE, 4 * SIDE, 3), np.uint8))
    page = render("run", [game(0)], [game(0)], {**PNGS, FRAMES[0]: large})
    head, _, content = embedded(page)["images"][FRAMES[0]].partition(",")
    assert head == "data:image/jpeg;base64"
    assert encoded_size(base64.b64decode(content)) == (SIDE, SIDE * 3 // 4)


def test_hostile_texts_cannot_break_out_of_the_page():
    hostile = '</script><script>alert(1)</script><!-- "\u2028'
    shown = [game(0, question=hostile, instruction=hostile, abort_reason=hostile)]
    page = render(hostile, shown, shown, PNGS)
    assert "alert(1)</script>" not in page
    data = embedded(page)
    assert data["run"] == data["games"][0]["instruction"] == data["games"][0]["turns"][0]["question"] == hostile
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page), "texts must stay texts"


def test_a_number_that_is_none_names_its_game():
    broken = game(8, turns=(replace(game(8).turns[0], p_yes=float("nan")),))
    with pytest.raises(ConfigError, match="game 8 holds the number NaN"):
        render("run", [broken], [broken], PNGS)


def test_frame_without_an_image_is_named():
    with pytest.raises(PoolError, match=FRAMES[2]):
        render("run", [game(0)], [game(0)], {key: png for key, png in PNGS.items() if key != FRAMES[2]})


def test_frame_ids_are_those_of_candidates_and_describer():
    one = game(0, candidates=(view(0), view(1)), describer=view(2))
    assert frame_ids([one]) == {FRAMES[0], FRAMES[1], FRAMES[2]}


@pytest.fixture
def run(tmp_path):
    """A run of three games over a pool beside it."""
    with writing(tmp_path / "pool") as writer:
        for place, (identity, png) in enumerate(PNGS.items()):
            writer.add(
                FrameRow(identity, png, f"episode {place}", "front", 3, 0, "open it", None, "a.hdf5", Trust.NONE)
            )
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [game(0).line(), game(1, "lost", outcome="lost").line(), game(2, "lucky").line()]
    (folder / "dialogs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"pool": str(tmp_path / "pool")}), encoding="utf-8")
    return folder


def test_command_writes_the_page_beside_the_dialogs_and_says_so(run, capsys):
    assert Report(run).run() == 0
    out = capsys.readouterr().out
    assert str(run / "report.html") in out
    assert "rejected first for lucky" in out
    assert len(embedded((run / "report.html").read_text(encoding="utf-8"))["games"]) == 3


def test_command_prints_one_json_object(run, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    assert Report(run, pool=tmp_path / "pool", out=page, games=2, json=True).run() == 0
    assert json.loads(capsys.readouterr().out) == {
        "games": 3,
        "won": 2,
        "aborted": 0,
        "kept": 1,
        "rejected": {"lost": 1, "lucky": 1},
        "shown": 2,
        "page": str(page),
    }
    assert page.exists()


def test_missing_frame_names_the_frame_and_the_pool(run, tmp_path):
    with (run / "dialogs.jsonl").open("a", encoding="utf-8") as file:
        file.write(game(3, "lost", describer=view(0, frame_id="feedfacefeedface")).line() + "\n")
    with pytest.raises(PoolError, match="has no frame feedfacefeedface") as raised:
        Report(run).run()
    assert str(tmp_path / "pool") in str(raised.value)
    assert "--pool" in str(raised.value)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("{}", "key `pool` is None"),
        ("[]", "key `pool` is None"),
        ('{"pool": "nowhere"}', "key `pool` is nowhere, which is not there"),
    ],
)
def test_run_without_a_usable_pool_asks_for_one(run, content, complaint):
    path = run / "run.json"
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(complaint)) as raised:
        Report(run).run()
    assert str(path) in str(raised.value)
    assert "--pool" in str(raised.value)


def test_run_without_games_is_refused(run):
    (run / "dialogs.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no game"):
        Report(run).run()


def test_page_that_cannot_be_written_is_refused(run):
    with pytest.raises(ConfigError, match="--out"):
        Report(run, out=run / "dialogs.jsonl" / "page.html").run()
