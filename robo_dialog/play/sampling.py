"""Which moments meet in a game, and through which cameras; pure functions of the moments and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ConfigError
from robo_dialog.play.moments import Moment

Kind = Literal["same_task", "same_episode", "nearest", "random"]
Pairing = Literal["same", "augmented", "cross_view"]


@dataclass(frozen=True)
class Mix:
    """How often distractors are chosen in which way; weights, not necessarily summing to 1."""

    same_task: float = 1.0
    """Outcomes of other attempts at the instruction, or at the most similar ones where there are too few."""
    same_episode: float = 0.0
    """Earlier frames of the same attempt (ingest with --last-k or --first), then as same_task."""
    nearest: float = 0.0
    """Outcomes whose final frames look most alike to the model."""
    random: float = 0.0
    """Any other outcomes."""

    def __post_init__(self) -> None:
        """Refuse weights that say nothing."""
        weights = [getattr(self, one.name) for one in fields(self)]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ConfigError(f"mix weights are {weights}; give at least one positive and none negative")

    def draw(self, rng: np.random.Generator) -> Kind:
        """One way, by weight."""
        kinds: tuple[Kind, ...] = ("same_task", "same_episode", "nearest", "random")
        weights = np.array([getattr(self, kind) for kind in kinds])
        return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


@dataclass(frozen=True)
class Deal:
    """What lies on the table when a game begins."""

    kind: Kind
    candidates: tuple[Moment, ...]
    target: int
    guesser_camera: str
    describer_camera: str
    augmentation: int | None
    """Seed of the Describer's augmentation, in games whose pairing asks for one."""


@dataclass(frozen=True)
class Dealer:
    """Deals game after game from one pool.

    Targets go round the outcomes of the pool in a shuffled order, so that every one has its turn.
    """

    moments: Sequence[Moment]
    pairing: Pairing
    mix: Mix
    candidates: int
    seed: int
    embeddings: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Unit vector (D,) by frame id; needed by `nearest` alone."""

    def __post_init__(self) -> None:
        """Refuse a pool on which no game is possible.

        Raises:
            ConfigError: too few outcomes, no second camera for cross-view games, or no embeddings for `nearest`.
        """
        if len(self._outcomes()) < self.candidates:
            raise ConfigError(
                f"the pool has {len(self._outcomes())} final moments that can be played, a game needs "
                f"{self.candidates}; ingest more episodes or choose fewer candidates"
            )
        if not self._targets():
            raise ConfigError(
                "pairing is `cross_view`, but no final moment of the pool is seen by two cameras; "
                "choose pairing `augmented` or ingest a second camera"
            )
        if self.mix.nearest > 0 and not self.embeddings:
            raise ConfigError("mix.nearest needs a model that embeds images, which this one cannot; set it to 0")

    def deal(self, game_id: int) -> Deal:
        """The game of this number; always the same one."""
        rng = np.random.default_rng([self.seed, 1, game_id])
        targets = self._targets()
        lap, place = divmod(game_id, len(targets))
        order = np.random.default_rng([self.seed, 0, lap]).permutation(len(targets))
        target = targets[int(order[place])]
        seen_by, shown_to = self._cameras(target, rng)
        kind = self.mix.draw(rng)
        distractors = self._distractors(target, kind, seen_by, rng)
        seat = int(rng.integers(self.candidates))
        seated = [*distractors[:seat], target, *distractors[seat:]]
        augmentation = int(rng.integers(2**31)) if self.pairing == "augmented" else None
        return Deal(kind, tuple(seated), seat, seen_by, shown_to, augmentation)

    def _outcomes(self) -> list[Moment]:
        return [moment for moment in self.moments if moment.final]

    def _targets(self) -> list[Moment]:
        """Outcomes whose camera is shared by enough others."""
        needed = 2 if self.pairing == "cross_view" else 1
        return [moment for moment in self._outcomes() if len(moment.frames) >= needed]

    def _cameras(self, target: Moment, rng: np.random.Generator) -> tuple[str, str]:
        """The Guesser's and the Describer's camera."""
        outcomes = self._outcomes()
        common = [name for name in target.frames if sum(name in m.frames for m in outcomes) >= self.candidates]
        if not common:
            raise ConfigError(
                f"cameras {', '.join(target.frames)} of episode {target.episode_id} are in fewer than "
                f"{self.candidates} episodes; name the shared ones with --cameras"
            )
        seen_by = common[int(rng.integers(len(common)))]
        if self.pairing != "cross_view":
            return seen_by, seen_by
        others = [name for name in target.frames if name != seen_by]
        return seen_by, others[int(rng.integers(len(others)))]

    def _distractors(self, target: Moment, kind: Kind, camera: str, rng: np.random.Generator) -> list[Moment]:
        others = [m for m in self._outcomes() if m.episode_id != target.episode_id and camera in m.frames]
        others = [others[i] for i in rng.permutation(len(others))]
        match kind:
            case "same_task":
                others.sort(key=lambda moment: -_likeness(moment.instruction, target.instruction))
            case "nearest":
                mine = self.embeddings[target.frames[camera]]
                others.sort(key=lambda moment: -float(self.embeddings[moment.frames[camera]] @ mine))
            case "same_episode":
                others.sort(key=lambda moment: -_likeness(moment.instruction, target.instruction))
                others = [*self._earlier(target, camera, rng), *others]
        chosen = others[: self.candidates - 1]
        return [chosen[i] for i in rng.permutation(len(chosen))]

    def _earlier(self, target: Moment, camera: str, rng: np.random.Generator) -> list[Moment]:
        mine = [m for m in self.moments if m.episode_id == target.episode_id and not m.final and camera in m.frames]
        return [mine[i] for i in rng.permutation(len(mine))]


def _likeness(one: str, other: str) -> float:
    """1 for equal instructions, else the share of words in common."""
    if one == other:
        return 1.0
    first, second = set(one.lower().split()), set(other.lower().split())
    return len(first & second) / (len(first | second) + 1)
