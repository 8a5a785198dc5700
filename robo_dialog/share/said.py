"""What was said of a frame: the verdict on its episode, and what games answered about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from robo_dialog.errors import ConfigError
from robo_dialog.play.dialog import read_dialogs
from robo_episodes.pool import FramePool
from robo_episodes.pool_rows import FrameRow
from robo_episodes.verdicts import VerdictRow, read_verdicts


@dataclass(frozen=True)
class Answered:
    """One question that a game asked about a moment, and the Describer's answer."""

    question: str
    answer: bool
    p_yes: float
    """Calibrated to the pool, in [0, 1]."""
    kept: bool
    """Whether the filters kept the game."""


@dataclass(frozen=True)
class Said:
    """What was said of one moment of an episode."""

    verdict: VerdictRow | None = None
    answers: tuple[Answered, ...] = ()
    """Every question once: of several answers a kept one, of those the last."""


def said(verdicts: Path | None, games: Path | None) -> Mapping[tuple[str, int], Said]:
    """What is known, by episode and frames before the end.

    Args:
        verdicts: folder of `robo-dialog relabel`, or a verdict file; of several verdicts on an episode the last counts.
        games: folder of `robo-dialog play`.

    Raises:
        ConfigError: something is missing.
        UnreadableError: a file is damaged.
    """
    found: dict[tuple[str, int], Said] = {}
    for row in () if verdicts is None else read_verdicts(_file(verdicts, "labels.parquet")):
        if row.step is None:
            found[row.episode_id, 0] = Said(row)
    for moment, answers in _answers(games).items():
        found[moment] = replace(found.get(moment, Said()), answers=tuple(answers.values()))
    return found


def _answers(games: Path | None) -> dict[tuple[str, int], dict[str, Answered]]:
    found: dict[tuple[str, int], dict[str, Answered]] = {}
    for dialog in () if games is None else read_dialogs(_file(games, "dialogs.jsonl")):
        known = found.setdefault((dialog.describer.episode_id, dialog.describer.from_end), {})
        for turn in dialog.turns:
            if dialog.kept or turn.question not in known or not known[turn.question].kept:
                known[turn.question] = Answered(turn.question, turn.answer, turn.p_yes, dialog.kept)
    return found


def frames(pool: FramePool, found: Mapping[tuple[str, int], Said]) -> Iterator[tuple[FrameRow, Said]]:
    """Every frame of a pool, in order, with what was said of the moment that it shows.

    Raises:
        PoolError: the pool is damaged.
    """
    for row in pool.rows():
        is_final = row.steps_from_end is None and row.step is None  # of unknown length: only its last frame was taken
        moment = 0 if is_final else row.steps_from_end
        yield row, Said() if moment is None else found.get((row.episode_id, moment), Said())


def _file(path: Path, name: str) -> Path:
    file = path / name if path.is_dir() else path
    if not file.exists():
        raise ConfigError(f"{file}: is not there; give the folder that the command wrote, or the file itself")
    return file
