"""The stage of relabelling: the episodes of a shard are read and judged, reading going on while verdicts are made."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from robo_dialog.detect.calibration import MAX_FRAMES
from robo_dialog.detect.conclude import Prepared
from robo_dialog.detect.detector import Detector
from robo_dialog.detect.graph import SCORER
from robo_dialog.detect.session import runs_at_once
from robo_dialog.detect.verdict import Frame, Outcome, Request, Verdict
from robo_dialog.errors import RequestError
from robo_dialog.relabel.rows import DIGITS, Evidence, Fulfilled, LabelRow, encode
from robo_dialog.vlm.prompts import normalized
from robo_episodes.episode import EpisodeWarning
from robo_episodes.stages.reading import Source
from robo_episodes.stages.stage import Work
from robo_episodes.taken import TakenEpisode, TakenFrame
from robo_episodes.workers.crew import Crew

BATCH = 32
"""Episodes that are judged together."""
VERSION = 1
"""To be raised when the same episode gets another row."""

Episodes: TypeAlias = Sequence[TakenEpisode | EpisodeWarning]
Judged: TypeAlias = LabelRow | EpisodeWarning


@dataclass(frozen=True)
class Relabelling:
    """Everything that rows depend on besides the recordings, in values that can travel to a worker."""

    bundle: Path
    digest: str
    """Of the bundle."""
    source: Source
    instructions: tuple[str, ...]
    """Asked of every episode besides its own; empty: only its own."""
    time: str
    """What is written into the rows."""

    @property
    def identity(self) -> str:
        """What tells its rows from those of other runs, but for their time."""
        return json.dumps([VERSION, self.digest, self.source.identity, self.instructions])

    @contextmanager
    def open(self, cores: int) -> Iterator[Work]:
        """Load the bundle and start to read; see `Stage.open`.

        Raises:
            BundleError: the bundle is not there, or broken.
        """
        runs = runs_at_once(self.bundle / SCORER, cores)
        judge = Judge(Detector.load(self.bundle, threads=cores // runs), self.instructions, self.time)
        with self.source.crew(cores) as crew, ThreadPoolExecutor(runs) as judges:

            def judged(content: str) -> Iterator[Judged]:
                return self._judged(content, crew, lambda some: judges.submit(judge.judged, some), runs)

            yield lambda content: encode(content, judged(content))

    def _judged(
        self, content: str, crew: Crew, judge: Callable[[Episodes], Future[list[Judged]]], runs: int
    ) -> Iterator[Judged]:
        under_way: deque[Future[list[Judged]]] = deque()
        episodes = self.source.episodes(content, crew, compress=False)
        while waiting := list(islice(episodes, BATCH)):
            under_way.append(judge(waiting))
            if len(under_way) > runs:
                yield from under_way.popleft().result()
        for last in under_way:
            yield from last.result()


@dataclass(frozen=True)
class Judge:
    """Gives rows."""

    detector: Detector
    instructions: tuple[str, ...]
    time: str

    def judged(self, episodes: Episodes) -> list[Judged]:
        """A row for each episode, or why there is none, in their order."""
        prepared = [(one, self._prepared(one) if isinstance(one, TakenEpisode) else one) for one in episodes]
        verdicts = iter(self.detector.judge([ready for _, ready in prepared if isinstance(ready, Prepared)]))
        found: list[Judged] = []
        for episode, ready in prepared:
            if isinstance(ready, EpisodeWarning):
                found.append(ready)
            elif isinstance(episode, TakenEpisode):
                found.append(self._row(episode, ready, next(verdicts)))
        return found

    def _prepared(self, episode: TakenEpisode) -> Prepared | EpisodeWarning:
        if episode.instruction is None:
            text = f"{episode.source}: holds no instruction; give one with --instruction"
            return EpisodeWarning(episode.id, "no_instruction", text)
        try:
            return self.detector.prepare(Request(frames_of(episode, final=True), episode.instruction))
        except RequestError as error:
            return EpisodeWarning(episode.id, "refused", f"{episode.source}: {_refusal(error)}")

    def _row(self, episode: TakenEpisode, ready: Prepared, verdict: Verdict) -> LabelRow:
        manifest = self.detector.manifest
        finals = [camera.frames[-1].step for camera in episode.cameras.values()]
        seen = zip(ready.cameras, finals, verdict.frame_probabilities, strict=True)
        return LabelRow(
            episode_id=episode.id,
            source=episode.source,
            step=None,
            outcome=verdict.outcome.value,
            probability=round(verdict.probability, DIGITS),
            threshold=verdict.threshold,
            judged_by=f"{manifest.name}@{manifest.digest[:12]}",
            instruction=ready.instruction,
            note=None,
            agreement=round(verdict.agreement, DIGITS),
            cameras=tuple(Evidence(camera, step, round(p, DIGITS)) for camera, step, p in seen),
            label=episode.success,
            trust=str(episode.trust),
            fulfilled=self._fulfilled(episode, ready),
            model_digest=manifest.digest,
            base_model=manifest.lineage.base_model,
            pool_digest=manifest.lineage.pool_digest,
            dialogs_digest=manifest.lineage.dialogs_digest,
            time=self.time,
        )

    def _fulfilled(self, episode: TakenEpisode, ready: Prepared) -> tuple[Fulfilled, ...]:
        """Other instructions that are carried out at the end and were not at the beginning."""
        own = normalized(ready.instruction)
        others = [self.detector.reworded(ready, text) for text in self.instructions if normalized(text) != own]
        verdicts = zip(others, self.detector.judge(others), strict=True)
        done = [(one, verdict) for one, verdict in verdicts if verdict.outcome is Outcome.SUCCESS]
        beginnings = self._beginnings(episode, [one.instruction for one, _ in done])
        return tuple(
            Fulfilled(one.instruction, round(verdict.probability, DIGITS), verdict.threshold, before)
            for (one, verdict), before in zip(done, beginnings, strict=True)
            if before is None or before < verdict.threshold
        )

    def _beginnings(self, episode: TakenEpisode, instructions: Sequence[str]) -> list[float | None]:
        """P(success) of the first frames, None where there are none."""
        frames = frames_of(episode, final=False)
        if not frames or not instructions:
            return [None] * len(instructions)
        first = self.detector.prepare(Request(frames, instructions[0]))
        verdicts = self.detector.judge([self.detector.reworded(first, text) for text in instructions])
        return [round(verdict.probability, DIGITS) for verdict in verdicts]


def frames_of(episode: TakenEpisode, *, final: bool) -> list[Frame]:
    """One frame a camera: the final one, or the first one of cameras that have another as their last."""
    return [
        Frame(frame.png, name)
        for name, camera in episode.cameras.items()
        if (frame := camera.frames[-1] if final else _first(camera.frames)) is not None
    ]


def _first(frames: Sequence[TakenFrame]) -> TakenFrame | None:
    return frames[0] if len(frames) > 1 and frames[0].step == 0 else None


def _refusal(error: RequestError) -> str:
    if error.field == "frames":
        return f"has more than {MAX_FRAMES} cameras; choose some with --cameras"
    return f"cannot be judged, {error}"
