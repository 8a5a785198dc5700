"""How strict the gate is."""

from __future__ import annotations

from dataclasses import dataclass

from robo_dialog.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """How strict the gate is; shares lie in [0, 1]."""

    margin: float = 0.02
    """How far below the champion the 95 % interval of the deciding figure may reach: the fewer the episodes, the larger
    the gain that is asked for."""
    fall: float = 0.05
    """How far every other figure may fall below the champion's; in a slice, if the fall is likely no accident."""
    anchor_fall: float = 0.01
    """The same for what the base could do already."""
    fewest_labels: int = 20
    """Episodes of each class without which labels decide nothing."""
    fewest_games: int = 50
    """Games without which games decide nothing."""
    fewest_episodes: int = 10
    """Episodes that these games must be about: games about one episode are one piece of evidence."""
    least_accuracy: float = 0.6
    """Balanced accuracy that a first candidate must have."""
    least_kept: float = 0.7
    """Balanced share of the answers of kept games that a candidate must give again."""
    slowest: float = 1.5
    """How many times as long as the champion a candidate may take."""

    def __post_init__(self) -> None:
        """Refuse what could always or never hold."""
        for name in ("margin", "fall", "anchor_fall", "least_accuracy", "least_kept"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share: 0 to below 1")
        for name, least in (("fewest_labels", 2), ("fewest_games", 2), ("fewest_episodes", 2), ("slowest", 0.1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected {least} or more")
