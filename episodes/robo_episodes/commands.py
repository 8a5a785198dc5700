"""The commands `inspect` and `ingest`."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from robo_episodes.errors import ConfigError
from robo_episodes.stages.choice import ExecutorChoice

if TYPE_CHECKING:
    from robo_episodes.ingest import Reader
    from robo_episodes.recordings import Scan
    from robo_episodes.report import OnProgress
    from robo_episodes.selection import Selection
    from robo_episodes.workers.crew import Crew

Paths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH...")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Inspect:
    """Show what is recognised in recordings: layout, cameras, instructions, labels and how far to trust them, warnings.

    Reads the final frame of every camera, so that what is counted can also be ingested.
    """

    paths: Paths
    """Files or folders with recordings; episodes/README.md lists the formats."""
    layout: Path | None = None
    """YAML file with layouts of your own, tried before the built-in ones."""
    instruction: str | None = None
    """Instruction of episodes whose recording holds none."""
    jpeg: Literal["standard", "cv2"] | None = None
    """How JPEG images were written, whatever the layout says; try the other one where red and blue are swapped."""
    color: Literal["rgb", "bgr"] | None = None
    """Channel order of raw images, whatever the layout says."""
    orient: Literal["none", "flipud", "rot180"] | None = None
    """What turns the images upright, whatever the layout says."""
    sheet: Path | None = None
    """Write one picture (PNG) with the first and last frame of every camera here, to check orientation and colours."""
    workers: int = 0
    """Processes that read; 0: one a processor core."""
    memory_limit: int = 2048
    """Megabytes that reading an episode may take before it counts as unreadable."""
    time_limit: float = 60
    """Seconds that reading an episode may take before it counts as unreadable."""
    json: Flag = False
    """Print one JSON object instead of tables."""

    def run(self) -> int:
        """Inspect the recordings and print the report."""
        from robo_episodes import render
        from robo_episodes.ingest import nothing_read
        from robo_episodes.report import survey

        with _crew(self, self.workers) as crew:
            found = _scan(self.paths, crew)
            with _progress("inspecting", found) as advance:
                report = survey(found, crew, self.instruction, advance)
            if not report.episodes:
                raise nothing_read(report)
            drawn = _draw(self.sheet, found, crew, self.instruction, report.episodes) if self.sheet else 0
        if self.json:
            _print_json(report.as_json())
        else:
            render.inspected(report)
            if self.sheet:
                render.line(f"contact sheet of {drawn} episodes: {self.sheet}")
        return 0


@dataclass(frozen=True)
class Ingest:
    """Read final frames of recordings into a frame pool; run it again after an interruption or with new recordings."""

    paths: Paths
    """Files or folders with recordings; episodes/README.md lists the formats."""
    out: Path
    """Folder of the frame pool; made if it is missing, added to if it is there."""
    last_k: int = 1
    """Number of final frames of every camera."""
    stride: int = 1
    """Distance between the final frames, counted back from the last one: 5 takes every fifth."""
    first: Flag = False
    """Also take the first frame of every camera."""
    cameras: tuple[str, ...] = ()
    """Take only these cameras; default: all."""
    layout: Path | None = None
    """YAML file with layouts of your own, tried before the built-in ones."""
    instruction: str | None = None
    """Instruction of episodes whose recording holds none."""
    jpeg: Literal["standard", "cv2"] | None = None
    """How JPEG images were written, whatever the layout says; try the other one where red and blue are swapped."""
    color: Literal["rgb", "bgr"] | None = None
    """Channel order of raw images, whatever the layout says."""
    orient: Literal["none", "flipud", "rot180"] | None = None
    """What turns the images upright, whatever the layout says."""
    dry_run: Flag = False
    """Count what would be added, and write nothing."""
    memory_limit: int = 2048
    """Megabytes that reading an episode may take before it counts as unreadable."""
    time_limit: float = 60
    """Seconds that reading an episode may take before it counts as unreadable."""
    executor: Annotated[ExecutorChoice, tyro.conf.arg(name="")] = field(default_factory=ExecutorChoice)
    json: Flag = False
    """Print one JSON object instead of tables."""

    def run(self) -> int:
        """Ingest the recordings; leaves the report beside the shards as ingest.json."""
        from robo_episodes import ingest, render
        from robo_episodes.pool import FramePool, write_json
        from robo_episodes.selection import Selection

        selection = Selection(self.last_k, self.stride, first=self.first, cameras=self.cameras)
        take = ingest.dry_run if self.dry_run else ingest.ingest
        with _crew(self, self.executor.workers) as crew:
            reader = self._reader(crew, selection)
            found = _scan(self.paths, crew)
            with _progress("ingesting", found) as advance:
                result = take(
                    found,
                    self.out,
                    selection,
                    instruction=self.instruction,
                    on_progress=advance,
                    crew=crew,
                    reader=reader,
                )
        content = {**result.report.as_json(), "added": result.added}
        if not self.dry_run:
            pool = FramePool.open(self.out)
            content["pool"] = {"frames": len(pool), "episodes": len(pool.episodes()), "digest": pool.digest()}
            write_json(self.out / "ingest.json", content)
        if self.json:
            _print_json(content)
        else:
            render.ingested(result, content.get("pool"), self.out)
        return 0

    def _reader(self, crew: Crew, selection: Selection) -> Reader | None:
        """What reads where the crew of this process does not."""
        if self.executor.executor == "local":
            return None
        from robo_episodes.stages.reading import Source
        from robo_episodes.stages.taking import taken_by

        executor = self.executor.open()
        source = Source.of(crew.layouts.values(), selection, crew.limits, self.instruction)
        return lambda recordings, known_of: taken_by(executor, recordings, source, known_of)


def _crew(options: Inspect | Ingest, workers: int) -> Crew:
    from robo_episodes.layout import builtin_layouts, load_layouts, stored_as
    from robo_episodes.workers.crew import Crew
    from robo_episodes.workers.limits import Limits

    if workers < 0:
        raise ConfigError(f"--workers {workers}: give a number of processes, or 0 for one a processor core")
    limits = Limits(options.memory_limit, options.time_limit)
    layouts = builtin_layouts() if options.layout is None else load_layouts(Path(options.layout))
    stored = stored_as(layouts, jpeg=options.jpeg, color=options.color, orient=options.orient)
    return Crew(stored, workers=workers, limits=limits)


def _scan(paths: Sequence[Path], crew: Crew) -> Scan:
    from robo_episodes.workers.isolated import scan

    if not paths:
        raise ConfigError("no PATH given: name files or folders with recordings")
    return scan([Path(path) for path in paths], crew)


def _draw(sheet: Path, found: Scan, crew: Crew, instruction: str | None, total: int) -> int:
    from robo_episodes.sheet import SELECTION, write_sheet
    from robo_episodes.workers.isolated import read

    answers = read(found.recordings, crew, SELECTION, encode=True, instruction=instruction)
    return write_sheet(sheet, (one for episodes in answers for one in episodes), total)


@contextmanager
def _progress(verb: str, found: Scan) -> Iterator[OnProgress]:
    """Show on stderr how much of the recordings is done, how fast, and how long the rest will take."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from robo_episodes.report import Progress as Done
    from robo_episodes.workers.isolated import size

    columns = [
        TextColumn(f"{verb} {{task.fields[recordings]}}/{len(found.recordings)} recordings"),
        BarColumn(),
        TextColumn("{task.fields[episodes]} episodes, {task.fields[pace]}"),
        TimeRemainingColumn(),
    ]
    shown = sys.stderr.isatty()
    total = sum(size(recording) for recording in found.recordings) if shown else 0
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        task = progress.add_task(verb, total=total, recordings=0, episodes=0, pace="")

        def advance(done: Done) -> None:
            seconds = max(progress.tasks[0].elapsed or 0.0, 1e-3)
            pace = f"{done.episodes / seconds:.0f}/s, {done.bytes / seconds / 1e6:.0f} MB/s"
            progress.update(task, completed=done.bytes, recordings=done.recordings, episodes=done.episodes, pace=pace)

        yield advance


def _print_json(content: object) -> None:
    print(json_text.dumps(content))
