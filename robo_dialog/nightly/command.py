"""`robo-dialog nightly`: one command a night, from new recordings to a new champion and a page about it."""

from __future__ import annotations

import fcntl
import json as jsonlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robo_dialog.errors import BusyError, ConfigError, NightlyError
from robo_dialog.nightly.settings import Bounds, Budget, Memory, Options, ServerChoice
from robo_dialog.nightly.telling import Tell

if TYPE_CHECKING:
    from robo_dialog.detect.store import ModelStore
    from robo_dialog.nightly.chain import Chain
    from robo_dialog.nightly.night import Night

NOTHING_NEW, KEPT, PROMOTED = 20, 10, 0
"""Exit codes."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class Nightly:
    """Learn from what is new since the last night, and publish what came of it, if it is not worse.

    Ingest, improve, promote, in one folder a night. Cut off at any moment, the same
    command goes on. Exit code 0: a new champion, 10: the champion stays, 20: nothing is new, others: an error.
    """

    store: Path
    """Folder of the model store; made if it is missing."""
    work: Path
    """Folder of the nights: pools, games, checkpoints, reports; made if it is missing."""
    recordings: tuple[Path, ...] = ()
    """Files or folders with recordings; what is in them already was new once."""
    recorded: Path | None = None
    """Folder in which a server keeps frames and outcomes (`serve --record`)."""
    labelled: tuple[Path, ...] = ()
    """Held-out labelled episodes, a frame pool or recordings, which decide about candidates; never learned from."""
    model: str = "tiny"
    """Folder or hub name of the model to begin with, where the champion was not made by a night."""
    budget: Budget = field(default_factory=Budget)
    memory: Memory = field(default_factory=Memory)
    bounds: Bounds = field(default_factory=Bounds)
    server: ServerChoice = field(default_factory=ServerChoice)
    tell: Tell = field(default_factory=Tell)
    options: Options = field(default_factory=Options)
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say what would be done, and do nothing."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on stdout instead of words."""

    def run(self) -> int:
        """Go through the night."""
        if not self.recordings and self.recorded is None:
            raise ConfigError("recordings and recorded are missing: nothing can ever be new; name one of them")
        if self.dry_run:
            return self._print(self._plan(), PROMOTED)
        with self._alone():
            return self._go()

    def _go(self) -> int:
        from robo_dialog.detect.store import ModelStore
        from robo_dialog.nightly.course import discard, go_through, too_few
        from robo_dialog.nightly.night import nights
        from robo_dialog.nightly.pages import write_pages
        from robo_dialog.nightly.retention import forget

        self._check_space()
        store = ModelStore.create(self.store)
        before = [night for night in nights(self.work) if night.report is not None]
        chain = self._chain(store, before)
        if too_few(chain, before):
            found = chain.ingest(before)["new"]
            discard(chain.night)
            return self._print({"outcome": "nothing new", "new": found, "fewest": self.bounds.fewest}, NOTHING_NEW)
        report = go_through(chain, before, self.memory, self.server)
        report["told"] = [*self.tell.tell(report), *self._mirrored(store, report)]
        chain.night.close(report)
        report["forgotten"] = forget(self.work, [*before, chain.night], store, self.memory)
        write_pages(self.work, [*before, chain.night])
        return self._print(report, PROMOTED if report["outcome"] == "promoted" else KEPT)

    def _mirrored(self, store: ModelStore, report: Mapping[str, Any]) -> list[str]:
        from robo_dialog.nightly.mirror import mirror

        return [] if self.tell.mlflow is None else mirror(self.tell.mlflow, store, report)

    def _chain(self, store: ModelStore, before: list[Night]) -> Chain:
        """The stages of the night that was cut off, or of a new one."""
        from robo_dialog.nightly.chain import Chain, Sources
        from robo_dialog.nightly.night import begin, nights
        from robo_dialog.nightly.running import in_child

        open_nights = [night for night in nights(self.work) if night.report is None]
        night = open_nights[0] if open_nights else None
        if night is None:
            champion = store.pointers().champion
            number = before[-1].number + 1 if before else 1
            night = begin(self.work, number, datetime.now(UTC), champion, self._model_of(champion))
        run = in_child(time.monotonic() + self.budget.hours * 3600)
        sources = Sources(self.recordings, self.recorded, self.labelled)
        return Chain(night, self.work, store, sources, self.options, self.budget, self.bounds, run)

    def _model_of(self, champion: str | None) -> str:
        from robo_dialog.nightly.chain import checkpoint_of

        made = None if champion is None else checkpoint_of(self.work, champion)
        return str(made) if made is not None and made.is_dir() else self.model

    def _plan(self) -> dict[str, Any]:
        from robo_dialog.nightly.night import nights

        found = nights(self.work)
        unfinished = [night for night in found if night.report is None]
        return {
            "outcome": "dry run",
            "nights": len(found) - len(unfinished),
            "goes_on_with": unfinished[0].number if unfinished else None,
            "done": sorted(path.stem for night in unfinished for path in (night.path / "done").glob("*.json")),
            "free_gigabytes": round(self._free(), 3),
            "options": {key: str(value) for key, value in vars(self).items() if key not in ("json", "dry_run")},
        }

    def _check_space(self) -> None:
        if self._free() < self.budget.free_gigabytes:
            raise NightlyError(
                f"{self.work}: {self._free():.1f} GB are free, {self.budget.free_gigabytes:g} are asked for "
                "(budget.free_gigabytes); make room, or lower memory.nights"
            )

    def _free(self) -> float:
        there = next(path for path in (self.work, *self.work.resolve().parents) if path.exists())
        return shutil.disk_usage(there).free / GIGABYTE

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            with (self.work / ".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise BusyError(f"{self.work}: another nightly run is at work; nothing was done") from error
                yield
        except PermissionError as error:
            raise NightlyError(f"{error.filename}: cannot be written; check its owner") from error

    def _print(self, found: Mapping[str, Any], code: int) -> int:
        if self.json:
            print(jsonlib.dumps(found))
            return code
        for key in ("night", "outcome", "reason", "champion", "goes_on_with", "new"):
            if found.get(key) is not None:
                print(f"{key.replace('_', ' ')}: {found[key]}")
        for alarm in found.get("alarms", []):
            print(f"ALARM {alarm['code']}: {alarm['text']}", file=sys.stderr)
        if "night" in found:
            print(f"report: {self.work / 'history.html'}")
        return code
