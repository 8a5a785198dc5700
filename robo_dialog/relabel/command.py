"""`robo-dialog relabel`: verdicts on whole data sets."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from robo_dialog.errors import ConfigError, RecordingError
from robo_episodes.reading_choice import ReadingChoice
from robo_episodes.stages.choice import ExecutorChoice

if TYPE_CHECKING:
    from robo_dialog.relabel.folder import LabelsFolder
    from robo_dialog.relabel.judging import Relabelling
    from robo_episodes.recordings import Scan

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Relabel:
    """Judge every episode of recordings by its final frames; labels that recordings have stay, and are compared.

    Interrupted at any moment, the same command goes on; with new recordings, only what is new is judged. OUT then has
    labels.parquet and labels.jsonl with a row an episode, problems.jsonl and summary.json.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE...")]
    """Files or folders with recordings; episodes/README.md lists the formats."""
    out: Path
    """Folder of the labels."""
    bundle: Path | None = None
    """Folder of the detector bundle; by default the embedded one."""
    instructions: str = "own"
    """`own`: has the episode done what it was told? `all`: which of all instructions in these recordings has it done?
    Or a text file with the instructions to ask, one a line."""
    cameras: tuple[str, ...] = ()
    """Only these cameras; default: all."""
    write: tuple[Literal["sidecar", "lerobot", "hdf5"], ...] = ()
    """Also write the verdicts back: `sidecar` beside each recording, `lerobot` as a progress table into each LeRobot
    dataset, `hdf5` into copies of HDF5 files, below OUT/hdf5."""
    write_out: Path | None = None
    """Write back below this folder, where nothing can be written beside the recordings."""
    reading: Annotated[ReadingChoice, tyro.conf.arg(name="")] = field(default_factory=ReadingChoice)
    executor: Annotated[ExecutorChoice, tyro.conf.arg(name="")] = field(default_factory=ExecutorChoice)
    json: Flag = False
    """Print one JSON object on stdout instead of tables."""

    def run(self) -> int:
        """Find, judge what is missing, gather, write back, summarise."""
        import pyarrow as pa

        from robo_dialog.claims import claimed
        from robo_dialog.relabel.folder import RUN, LabelsFolder
        from robo_dialog.relabel.summary import Summary
        from robo_episodes.stages.reading import shards as cut

        if not self.sources:
            raise ConfigError("no SOURCE given: name files or folders with recordings")
        pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps what it was given back
        executor = self.executor.open()
        found, stage, name = self._prepared()
        shards, unread = list(cut(found.recordings, stage.identity)), found.problems
        del found  # large where recordings are many and small
        if not shards:
            raise RecordingError(f"{self.sources[0]}: no recording found; episodes/README.md lists the formats")
        begun_with = {"schema_version": 1, "bundle": stage.digest, "options": self._options()}
        folder, summary = LabelsFolder(self.out), Summary(name, len(stage.instructions))
        with claimed(self.out, RUN, begun_with):
            missing = [shard for shard in shards if not folder.part(shard).exists()]
            with _progress(len(shards), len(shards) - len(missing)) as advance:
                for shard, result in zip(missing, executor.run(stage, missing), strict=True):
                    folder.keep(shard, result)
                    advance(result)
            folder.gather(shards, unread, summary)
            written = self._write_back(folder)
        self._print({**summary.as_json(), **written})
        return 0

    def _prepared(self) -> tuple[Scan, Relabelling, str]:
        """What there is to judge, the stage, and the bundle's name."""
        from robo_dialog.detect.bundle import read_bundle
        from robo_dialog.models import embedded_bundle
        from robo_dialog.relabel.instructions import asked
        from robo_dialog.relabel.judging import Relabelling
        from robo_episodes.selection import Selection
        from robo_episodes.stages.reading import Source
        from robo_episodes.workers.isolated import scan

        bundle = (self.bundle or embedded_bundle()).resolve()
        manifest = read_bundle(bundle).manifest
        selection = Selection(first=self.instructions != "own", cameras=self.cameras)
        source = Source.of(self.reading.layouts(), selection, self.reading.limits(), self.reading.instruction)
        with source.crew(0) as crew:
            found = scan(list(self.sources), crew)
            instructions = asked(self.instructions, found, source, crew)
        stage = Relabelling(bundle, manifest.digest, source, instructions, now())
        return found, stage, f"{manifest.name}@{manifest.digest[:12]}"

    def _options(self) -> dict[str, Any]:
        """What rows depend on, as JSON."""
        layout = None if self.reading.layout is None else str(self.reading.layout.resolve())
        reading = {key: value for key, value in asdict(self.reading).items() if not key.endswith("limit")}
        options = {"instructions": self.instructions, "cameras": list(self.cameras)}
        return {**options, "reading": {**reading, "layout": layout}}

    def _write_back(self, folder: LabelsFolder) -> dict[str, Any]:
        from robo_dialog.relabel.folder import LABELS
        from robo_dialog.relabel.writing import write_back

        written: dict[str, int] = {}
        problems: list[str] = []
        for target in self.write:
            rows = folder.rows_of(self.out / LABELS)
            done = write_back(rows, target, self.reading.layouts(), self.write_out, self.out / "hdf5")
            written[target] = len(done.written)
            problems += done.problems
        return {"written": written, "not_written": problems} if self.write else {}

    def _print(self, found: dict[str, Any]) -> None:
        if self.json:
            print(jsonlib.dumps(found))
            return
        from robo_dialog.relabel.render import print_summary

        print_summary(found)
        print(f"labels: {self.out}; look at the doubtful ones with: robo-dialog review {self.out}", file=sys.stderr)


def now() -> str:
    """The time that rows bear."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _progress(shards: int, done: int) -> Iterator[Any]:
    """Show on stderr how many shards are judged, and how fast."""
    import io

    import pyarrow.parquet as pq
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("judging"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards, {task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    episodes = 0
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("judging", total=shards, completed=done, pace="")

        def advance(result: bytes) -> None:
            nonlocal episodes
            episodes += pq.read_metadata(io.BytesIO(result)).num_rows
            seconds = max(progress.tasks[0].elapsed or 0.0, 1e-3)
            progress.update(task, advance=1, pace=f"{episodes / seconds:.0f} episodes/s")

        yield advance
