"""Forgets what is too old: folders of nights, checkpoints and bundles. What is in use is never touched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from robo_dialog.detect.store import ModelStore
from robo_dialog.nightly.intake import EPISODES
from robo_dialog.nightly.night import NIGHT, REPORT, Night
from robo_dialog.nightly.settings import Memory

PAGE = "report.html"
_STAYS = frozenset({NIGHT, REPORT, PAGE, EPISODES, "decision.json"})
_HEAVY = ("rounds", "pool", "gate_games", "margins")
"""What a closed night does not need any more, but for the eyes."""


def forget(work: Path, nights: Sequence[Night], store: ModelStore, memory: Memory) -> list[str]:
    """Delete what is older than `memory` says; returns what went, in words."""
    gone = []
    for night in nights[: -memory.nights]:
        gone += [f"night {night.number}" for _ in range(_empty(night.path))]
    for night in nights[:-1]:
        for name in _HEAVY:
            shutil.rmtree(night.path / name, ignore_errors=True)
    kept = _kept_versions(store, memory)
    gone += [f"version {one.version}" for one in store.versions() if one.version not in kept]
    store.remove(one.version for one in store.versions() if one.version not in kept)
    for path in (work / "checkpoints").glob("[0-9a-f]*"):
        if path.name not in kept:
            shutil.rmtree(path)
            gone.append(f"checkpoint {path.name}")
    return gone


def _kept_versions(store: ModelStore, memory: Memory) -> set[str]:
    pointers = store.pointers()
    youngest = [one.version for one in store.versions()[-memory.bundles :]]
    return {*youngest, *filter(None, (pointers.champion, pointers.previous))}


def _empty(folder: Path) -> bool:
    """Leave the report of a night; returns whether there was more."""
    more = [path for path in folder.iterdir() if path.name not in _STAYS]
    for path in more:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(more)
