"""What people or simulators said of episodes. Evaluation, calibration and the gate read labels here and nowhere else.

Nothing that works without labels imports this module; a test follows the imports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from robo_dialog.errors import PoolError
from robo_dialog.review.decisions import successes
from robo_episodes.episode import Json, Trust
from robo_episodes.pool import FramePool, PoolEpisode
from robo_episodes.pool_metadata import read_metadata
from robo_episodes.verdicts import read_verdicts

NEAR_MISSES = frozenset({"near_miss", "near miss", "near-miss", "close_succ"})
"""Values of an episode's metadata, under any key, that tell a failure which almost looks done."""


@dataclass(frozen=True)
class Label:
    """What is known about the outcome of one episode."""

    success: bool
    source: str
    """Where the episode was recorded: a file of many episodes, or the folder of a file of one."""
    near_miss: bool | None
    """Whether it was meant to be, or is, a near miss; None where no episode of the pool tells."""


def read_labels(pool: FramePool, reviews: Path | None = None) -> dict[str, Label]:
    """Labels by episode id, of the episodes whose label can be believed.

    Args:
        pool: where recordings' own labels are.
        reviews: verdict file of people, as `robo-dialog review` writes it; what they say goes before other labels.

    Raises:
        PoolError: no episode has a label of trust `label`, or all labels are the same: nothing can be measured by them.
        UnreadableError: the reviews cannot be read.
    """
    episodes = pool.episodes()
    decided = {} if reviews is None else successes(read_verdicts(reviews))
    success = {one.id: one.success if one.trust is Trust.LABEL else None for one in episodes} | decided
    labelled = [replace(one, success=success[one.id]) for one in episodes if success[one.id] is not None]
    if not labelled:
        raise PoolError(f"{pool.path}: {_why_none(episodes)}")
    outcomes = {one.success for one in labelled}
    if len(outcomes) == 1:
        word = "successes" if outcomes == {True} else "failures"
        raise PoolError(
            f"{pool.path}: all {len(labelled)} labelled episodes are {word}; without the other class every constant "
            f"answer looks right: add episodes of it"
        )
    metadata = read_metadata(pool.path)
    near = {one.id: _is_near_miss(metadata.get(one.id, {})) for one in labelled}
    told = any(near.values())
    return {one.id: Label(bool(one.success), place_of(one.source), near[one.id] if told else None) for one in labelled}


def place_of(source: str) -> str:
    """The file or folder that an episode's recording shares with others."""
    path, mark, _ = source.partition("#")
    return path if mark else path.rpartition("/")[0] or path


def _why_none(episodes: list[PoolEpisode]) -> str:
    constant = sum(one.trust is Trust.CONSTANT for one in episodes)
    if constant:
        return (
            f"{constant} of {len(episodes)} episodes have a success field that is the same in every recording of "
            "their format: it is no label; judge some episodes by hand, or use what works without labels"
        )
    return f"none of {len(episodes)} episodes has a success label; episodes/README.md lists where formats keep it"


def _is_near_miss(metadata: dict[str, Json]) -> bool:
    if metadata.get("near_miss") is True:
        return True
    return any(isinstance(value, str) and value.lower() in NEAR_MISSES for value in metadata.values())
