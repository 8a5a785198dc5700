"""`robo-dialog promote`: a candidate becomes the champion of a store, if evidence says that it is not worse."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robo_dialog.errors import ConfigError, StoreError
from robo_dialog.tune.gate_limits import Limits
from robo_dialog.tune.subjects import made_folder, opened_pool

if TYPE_CHECKING:
    from robo_dialog.detect.manifest import Manifest
    from robo_dialog.tune.gate_rules import Check
    from robo_dialog.tune.promotion import Games, Grounds

KEPT = 10
"""Exit code: the champion was kept."""
DECISIONS = "decisions"
"""Folder of a store where decisions are written."""


@dataclass(frozen=True)
class Promote:
    """Make a candidate the champion of a model store, if it is not worse than the champion of before.

    Labelled episodes decide if there are enough, else games; whatever else is given must not have become worse. The
    first champion of a store must be better than chance. The decision and its evidence are a JSON file, written in
    either case. Exit code 0: promoted, 10: the champion was kept.
    """

    candidate: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BUNDLE")]
    """Folder of the candidate's bundle."""
    store: Path
    """Folder of the model store; made if it is missing."""
    episodes: tuple[Path, ...] = ()
    """A held-out frame pool, or recordings; where no label can be believed, only agreement of views counts."""
    games: Path | None = None
    """A run of `robo-dialog play` that the candidate was not tuned on."""
    games_pool: Path | None = None
    """The frame pool of the games, if it has been moved since."""
    most_games: int = 1000
    """Games that are played anew, at most."""
    anchor: tuple[Path, ...] = ()
    """Parquet files of training rows of what the base could do already."""
    cameras: tuple[str, ...] = ()
    """Only these cameras of the episodes; default: all."""
    augmentations: int = 1
    """Slight changes of the episodes' frames under which verdicts must hold."""
    margins: Path | None = None
    """Folder of margins that several commands share; default: none are kept."""
    out: Path | None = None
    """File of the decision; default: in the folder `decisions` of the store, named by both versions."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of a table."""

    def run(self) -> int:
        """Show both the same things, decide, write, promote."""
        from robo_dialog.detect.bundle import read_bundle
        from robo_dialog.detect.store import VERSION_DIGITS, ModelStore
        from robo_dialog.tune.gate import decide
        from robo_dialog.tune.promotion import gather

        if self.most_games < 1 or self.augmentations < 0:
            raise ConfigError(
                f"--most-games {self.most_games}, --augmentations {self.augmentations}: give 1, 0 or more"
            )
        candidate = read_bundle(self.candidate).manifest
        version = candidate.digest[:VERSION_DIGITS]
        store = ModelStore.create(self.store)
        champion = store.pointers().champion
        with self._grounds(candidate) as grounds:
            gathered = gather(self.candidate, None if champion is None else store.path(champion), grounds)
        decision = decide(gathered.evidence, self.limits)
        names = {"candidate": version, "champion": champion, **self._given(), "labels": gathered.labels or None}
        file = self._file(version, champion)
        found = {**decision.as_json(), **names, "decision": str(file)}
        if decision.promoted:
            store.publish(self.candidate)
        self._write(file, found)
        if decision.promoted:
            if (now := store.pointers().champion) != champion:  # with which the candidate was not compared
                self._write(file, {**found, "promoted": False, "reason": f"{now} has become champion meanwhile"})
                raise StoreError(f"{self.store}: its champion has become {now} meanwhile; run the same command again")
            store.promote(version)
        self._print(found, decision.checks)
        return 0 if decision.promoted else KEPT

    @contextmanager
    def _grounds(self, candidate: Manifest) -> Iterator[Grounds]:
        from robo_dialog.play.moments import digest
        from robo_dialog.tune.examples import read_examples
        from robo_dialog.tune.promotion import Grounds

        games, anchor = self._read_games(candidate), read_examples(self.anchor)
        grounds = Grounds(None, games, anchor, self.cameras, self.augmentations, self.margins)
        if not self.episodes:
            yield grounds
            return
        with opened_pool(self.episodes, self.cameras) as pool:
            _require_unseen(self.episodes[0], digest(pool), candidate.lineage.pool_digest)
            yield replace(grounds, pool=pool)

    def _read_games(self, candidate: Manifest) -> Games | None:
        from robo_dialog.play.dialog import dialogs_digest
        from robo_dialog.play.run_folder import DIALOGS, pool_of
        from robo_dialog.tune.promotion import Games
        from robo_dialog.tune.replays import read_games

        if self.games is None:
            return None
        file = self.games / DIALOGS
        dialogs = read_games(file, self.most_games)
        _require_unseen(file, dialogs_digest(file), candidate.lineage.dialogs_digest)
        return Games(pool_of(self.games, self.games_pool, "--games-pool"), dialogs)

    def _given(self) -> dict[str, object]:
        """What the decision was made on, as it was given."""
        return {
            "episodes": [str(path) for path in self.episodes],
            "games": None if self.games is None else str(self.games),
            "anchor": [str(path) for path in self.anchor],
        }

    def _file(self, version: str, champion: str | None) -> Path:
        name = f"{version}-first.json" if champion is None else f"{version}-against-{champion}.json"
        return self.out or self.store / DECISIONS / name

    def _write(self, file: Path, found: Mapping[str, object]) -> None:
        from robo_episodes.pool import write_json

        made_folder(file.parent)
        write_json(file, found)

    def _print(self, found: Mapping[str, object], checks: Sequence[Check]) -> None:
        if self.json:
            print(jsonlib.dumps(found))
            return
        from rich.console import Console
        from rich.table import Table

        word = "promoted" if found["promoted"] else "the champion was kept"
        table = Table("check", "", "why", title=f"{found['candidate']}: {word}", caption=str(found["decision"]))
        for one in checks:
            table.add_row(one.name, "passed" if one.passed else "FAILED", one.reason)
        Console().print(table)


def _require_unseen(path: Path, digest: str, learned: str) -> None:
    """What a candidate has learned from says nothing of it."""
    if digest == learned:
        raise ConfigError(f"{path}: the candidate was trained on this, as its manifest says; give what it has not seen")
