"""Which moments meet in a game, and through which cameras; pure functions of the moments and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ConfigError
from robo_dialog.play.moments import Moment
from robo_dialog.play.settings import Kind, Mix, Pairing
from robo_dialog.play.words import same_question, words

ACROSS: tuple[Pairing, ...] = ("cross_view", "all_views")
"""Pairings in which the Describer does not see what the Guesser sees."""


@dataclass(frozen=True)
class Deal:
    """What lies on the table when a game begins."""

    kind: Kind
    candidates: tuple[Moment, ...]
    target: int
    guesser_camera: str
    describer_cameras: tuple[str, ...]
    augmentation: int | None
    """Seed of the Describer's augmentation, in games whose pairing asks for one."""
    check: int
    """Seed of the augmentation under which the answers are tested."""


class Dealer:
    """Deals game after game from one pool.

    Targets go round the outcomes of the pool in a shuffled order, so that every one has its turn.

    Args:
        moments: of the pool.
        pairing: what the Describer sees of the target.
        mix: how distractors are chosen.
        candidates: number of images in a game.
        seed: seed of the run.
        embeddings: unit vector (D,) by frame id of every outcome; needed by `nearest` alone.

    Raises:
        ConfigError: too few outcomes, no second camera for cross-view games, or no embeddings for `nearest`.
    """

    def __init__(
        self,
        moments: Sequence[Moment],
        pairing: Pairing,
        mix: Mix,
        candidates: int,
        seed: int,
        embeddings: Mapping[str, npt.NDArray[np.float64]] | None = None,
    ) -> None:
        self.seed = seed
        self._mix, self._pairing, self._size = mix, pairing, candidates
        self._embeddings = embeddings or {}
        self._outcomes = [moment for moment in moments if moment.final]
        self._earlier: dict[str, list[Moment]] = {}
        for moment in moments:
            if not moment.final:
                self._earlier.setdefault(moment.episode_id, []).append(moment)
        self._by_instruction: dict[str, list[Moment]] = {}
        for moment in self._outcomes:
            self._by_instruction.setdefault(moment.instruction, []).append(moment)
        self._shared = _shared_cameras(self._outcomes, candidates)
        fewest = 2 if pairing in ACROSS else 1
        self._targets = [m for m in self._outcomes if len(m.frames) >= fewest and self._shared & m.frames.keys()]
        self._likeness = cache(likeness)
        self._order = lru_cache(maxsize=4)(self._shuffled)
        self._check()

    def deal(self, game_id: int) -> Deal:
        """The game of this number; always the same one."""
        rng = np.random.default_rng([self.seed, 1, game_id])
        lap, place = divmod(game_id, len(self._targets))
        target = self._targets[int(self._order(lap)[place])]
        seen_by, shown_to = self._cameras(target, rng)
        kind = _drawn(self._mix, rng)
        distractors = self._distractors(target, kind, seen_by, rng)
        seat = int(rng.integers(self._size))
        seated = (*distractors[:seat], target, *distractors[seat:])
        augmentation = int(rng.integers(2**31)) if self._pairing == "augmented" else None
        return Deal(kind, seated, seat, seen_by, shown_to, augmentation, int(rng.integers(2**31)))

    def strangers(self, instruction: str) -> list[Moment]:
        """Outcomes of other instructions that games about this one have to make do with; none if its own are enough."""
        own = self._by_instruction[instruction]
        others = [moment for moment in self._outcomes if moment.instruction != instruction]
        if len(own) >= self._size or not others:
            return []
        alike = np.array([self._likeness(moment.instruction, instruction) for moment in others])
        least = np.sort(alike)[max(len(own) - self._size, -len(others))]
        return [moment for moment, one in zip(others, alike, strict=True) if one >= least]

    def _check(self) -> None:
        if len(self._outcomes) < self._size:
            raise ConfigError(
                f"the pool has {len(self._outcomes)} final moments that can be played, a game needs {self._size}; "
                "ingest more episodes or choose fewer candidates"
            )
        if not self._shared:
            raise ConfigError(
                f"no camera of the pool is in {self._size} episodes; ingest more episodes with the same cameras"
            )
        if not self._targets:
            raise ConfigError(
                f"pairing is `{self._pairing}`, but no final moment of the pool is seen by two cameras; "
                "choose pairing `augmented` or ingest a second camera"
            )
        if self._mix.nearest > 0 and not self._embeddings:
            raise ConfigError("mix.nearest needs a model that embeds images, which this one cannot; set it to 0")

    def _cameras(self, target: Moment, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
        """The Guesser's camera and the Describer's."""
        common = [name for name in target.frames if name in self._shared]
        seen_by = common[int(rng.integers(len(common)))]
        others = tuple(name for name in target.frames if name != seen_by)
        if self._pairing == "all_views":
            return seen_by, others
        return seen_by, (others[int(rng.integers(len(others)))],) if self._pairing == "cross_view" else (seen_by,)

    def _distractors(self, target: Moment, kind: Kind, camera: str, rng: np.random.Generator) -> list[Moment]:
        if kind == "same_task":
            alike = self._others_alike(target, camera, rng)
            if len(alike) == self._size - 1:
                return alike
        others = [m for m in self._outcomes if m.episode_id != target.episode_id and camera in m.frames]
        others = [others[i] for i in rng.permutation(len(others))]
        if kind == "nearest":
            mine = self._embeddings[target.frames[camera]]
            others.sort(key=lambda moment: -float(self._embeddings[moment.frames[camera]] @ mine))
        elif kind != "random":
            others.sort(key=lambda moment: -self._likeness(moment.instruction, target.instruction))
        if kind == "same_episode":
            mine_before = [m for m in self._earlier.get(target.episode_id, []) if camera in m.frames]
            others = [*(mine_before[i] for i in rng.permutation(len(mine_before))), *others]
        # A robot at rest leaves equal pictures, and nobody could tell them apart: only where there is nothing else.
        others.sort(key=lambda moment: moment.frames[camera] == target.frames[camera])
        chosen = others[: self._size - 1]
        return [chosen[i] for i in rng.permutation(len(chosen))]

    def _others_alike(self, target: Moment, camera: str, rng: np.random.Generator) -> list[Moment]:
        """Outcomes of other attempts at the very instruction that look different; no more than are needed."""
        mine, attempts = target.frames[camera], self._by_instruction[target.instruction]
        drawn = (attempts[i] for i in rng.permutation(len(attempts)))
        different = (
            one for one in drawn if one.episode_id != target.episode_id and one.frames.get(camera, mine) != mine
        )
        return list(islice(different, self._size - 1))

    def _shuffled(self, lap: int) -> npt.NDArray[np.int64]:
        """The order in which the targets of one lap have their turn."""
        return np.random.default_rng([self.seed, 0, lap]).permutation(len(self._targets))


def _drawn(mix: Mix, rng: np.random.Generator) -> Kind:
    kinds: tuple[Kind, ...] = ("same_task", "same_episode", "nearest", "random")
    weights = np.cumsum([getattr(mix, kind) for kind in kinds])
    return kinds[int(np.searchsorted(weights, weights[-1] * rng.random(), side="right"))]


def likeness(one: str, other: str) -> float:
    """1 for equal instructions, else less: the share of words in common."""
    if same_question(one, other):
        return 1.0
    first, second = set(words(one)), set(words(other))
    return len(first & second) / (len(first | second) + 1)


def _shared_cameras(outcomes: Sequence[Moment], size: int) -> set[str]:
    """Cameras through which a whole game can be seen."""
    names = {name for moment in outcomes for name in moment.frames}
    return {name for name in names if sum(name in moment.frames for moment in outcomes) >= size}
