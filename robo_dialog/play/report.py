"""One self-contained HTML page of a run of dialog games: counts of all, and a sample of them to read."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from robo_dialog.errors import ConfigError, PoolError
from robo_dialog.pages import filled, image_url, png_url
from robo_dialog.play.dialog import Dialog, View
from robo_dialog.play.views import augment
from robo_episodes.images import decode_png

QUESTIONS = 8
"""How many of the most frequent questions are listed."""


@dataclass(frozen=True)
class Counts:
    """How many games ended how."""

    games: int
    won: int
    lost: int
    aborted: int
    kept: int
    unfiltered: int
    """Neither kept nor rejected: no filter has seen them."""
    rejected: Mapping[str, int]
    """Games by their first reason; with the kept ones they are all games that were filtered."""
    reasons: Mapping[str, int]
    """Games by reason, the most frequent first; a game with two reasons counts in both."""


def count(dialogs: Sequence[Dialog]) -> Counts:
    """Count the games."""
    outcomes = Counter(dialog.outcome for dialog in dialogs)
    first = Counter(dialog.reasons[0] for dialog in dialogs if dialog.reasons)
    reasons = Counter(reason for dialog in dialogs for reason in dialog.reasons)
    order = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    return Counts(
        games=len(dialogs),
        won=outcomes["won"],
        lost=outcomes["lost"],
        aborted=outcomes["aborted"],
        kept=sum(dialog.kept for dialog in dialogs),
        unfiltered=sum(not dialog.kept and not dialog.reasons for dialog in dialogs),
        rejected={reason: first[reason] for reason in order if first[reason]},
        reasons={reason: reasons[reason] for reason in order},
    )


def sample(dialogs: Sequence[Dialog], games: int, seed: int) -> list[Dialog]:
    """Choose games to read, in the order of the run.

    As long as there are enough, half of them are kept games, and all reasons for a rejection are equally frequent; so
    their shares say nothing about the run. With at least one game a reason and one more, all of them are represented.

    Args:
        dialogs: all games of the run.
        games: how many are chosen at most, 1 or more.
        seed: the same seed chooses the same games.

    Raises:
        ConfigError: `games` is not positive.
    """
    if games < 1:
        raise ConfigError(f"--games is {games}; show at least 1")
    shuffled = [int(place) for place in np.random.default_rng(seed).permutation(len(dialogs))]
    groups: dict[str, list[int]] = {}
    for place in shuffled:
        for group in _groups(dialogs[place]):
            groups.setdefault(group, []).append(place)
    reasons = max(1, len(groups.keys() - {"kept"}))
    rank: dict[int, int] = {}
    for group, places in groups.items():
        for number, place in enumerate(places):
            turn = math.ceil(number / reasons) if group == "kept" else number
            rank[place] = min(turn, rank.get(place, turn))
    chosen = sorted(shuffled, key=lambda place: rank[place])[:games]
    return [dialogs[place] for place in sorted(chosen)]


def frame_ids(dialogs: Iterable[Dialog]) -> set[str]:
    """Ids of all frames that the games show."""
    return {view.frame_id for dialog in dialogs for view in _views(dialog)}


def render(name: str, dialogs: Sequence[Dialog], shown: Sequence[Dialog], png_of: Mapping[str, bytes]) -> str:
    """Return the whole page as text.

    Args:
        name: what the run is called.
        dialogs: all games, for the counts.
        shown: the games to read.
        png_of: encoded frame by id, for every frame of `shown`.

    Raises:
        ConfigError: a dialog holds a number that is not finite.
        PoolError: `png_of` lacks a frame.
    """
    data = {
        "run": name,
        "models": sorted({dialog.model for dialog in dialogs}),
        "counts": asdict(count(dialogs)),
        "chance": sum(1 / len(dialog.candidates) for dialog in dialogs) / len(dialogs) if dialogs else None,
        "sampling": _shares(dialogs, lambda dialog: dialog.sampling),
        "pairing": _shares(dialogs, lambda dialog: dialog.pairing),
        "questions": _questions(dialogs),
        "games": [_game(dialog) for dialog in shown],
        "images": _images(shown, png_of),
    }
    return filled(files("robo_dialog.play").joinpath("report.html").read_text(encoding="utf-8"), data)


def _groups(dialog: Dialog) -> tuple[str, ...]:
    return ("kept",) if dialog.kept else dialog.reasons or ("unfiltered",)


def _views(dialog: Dialog) -> tuple[View, ...]:
    return (*dialog.candidates, dialog.describer, *dialog.others)


def _shares(dialogs: Sequence[Dialog], kind: Callable[[Dialog], str]) -> list[dict[str, Any]]:
    games = Counter(map(kind, dialogs))
    kept = Counter(kind(dialog) for dialog in dialogs if dialog.kept)
    return [{"name": name, "games": games[name], "kept": kept[name]} for name in sorted(games)]


def _questions(dialogs: Sequence[Dialog]) -> dict[str, Any]:
    asked = Counter(turn.question for dialog in dialogs for turn in dialog.turns)
    top = sorted(asked.items(), key=lambda item: (-item[1], item[0]))[:QUESTIONS]
    return {
        "asked": asked.total(),
        "distinct": len(asked),
        "top": [{"text": text, "count": number} for text, number in top],
    }


def _game(dialog: Dialog) -> dict[str, Any]:
    """The dialog as JSON values; each view names its image."""

    def refuse(constant: str) -> None:
        raise ConfigError(f"game {dialog.game_id} holds the number {constant}; play the run again")

    values: dict[str, Any] = json.loads(dialog.line(), parse_constant=refuse)
    shown = (*values["candidates"], values["describer"], *values["others"])
    for view, content in zip(_views(dialog), shown, strict=True):
        content["image"] = _image_key(view)
    return values


def _image_key(view: View) -> str:
    return view.frame_id if view.augmentation is None else f"{view.frame_id}~{view.augmentation}"


def _images(shown: Sequence[Dialog], png_of: Mapping[str, bytes]) -> dict[str, str]:
    """Data URLs by image key, each once however many games show it."""
    views = {_image_key(view): view for dialog in shown for view in _views(dialog)}
    missing = {view.frame_id for view in views.values()} - png_of.keys()
    if missing:
        raise PoolError(f"no image of frame {min(missing)}; give the pool that the games were played over")
    return {key: _data_url(png_of[view.frame_id], view.augmentation) for key, view in views.items()}


def _data_url(png: bytes, augmentation: int | None) -> str:
    """The frame as a role saw it."""
    return png_url(png) if augmentation is None else image_url(augment(decode_png(png), augmentation))
