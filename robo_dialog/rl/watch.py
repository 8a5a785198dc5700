"""When an episode counts as a success, from one look at a time; pure.

One wrong SUCCESS would end an episode and reward nonsense, which a policy then learns to repeat. So

- several looks in a row have to agree (`Rule.looks`);
- looks at which the detector is UNCERTAIN neither count nor undo: the band around its calibrated threshold is the
  hysteresis;
- a scene that already looks done when the episode begins counts only after it has been seen undone: either the detector
  is wrong about it, or there is nothing to be learned.
"""

from __future__ import annotations

from dataclasses import dataclass

from robo_dialog.detect.verdict import Outcome
from robo_dialog.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """How success is watched for.

    Raises:
        ConfigError: a number is out of range.
    """

    every: int | None = None
    """Environment steps from one look to the next; None looks at the end of the episode only."""
    looks: int = 1
    """Looks in a row, UNCERTAIN ones left out, that have to be SUCCESS. At the end of an episode there is one look."""
    reward: float = 1.0
    """For success; everything else is rewarded with 0."""

    def __post_init__(self) -> None:
        """Refuse a rule by which nothing would ever be a success."""
        if self.looks < 1 or (self.every is not None and self.every < 1):
            raise ConfigError(f"every is {self.every} and looks {self.looks}; both must be at least 1")
        if self.every is None and self.looks > 1:
            raise ConfigError(f"looks is {self.looks}, but there is one look an episode; set every, or looks to 1")

    def is_due(self, step: int, *, ends: bool) -> bool:
        """Whether to look after this many steps; `ends`: the episode is over."""
        return ends or (self.every is not None and step % self.every == 0)


class Watch:
    """One episode.

    Args:
        rule: how success is watched for.
        start: the look at the beginning; None if the detector gave no answer.
    """

    def __init__(self, rule: Rule, start: Outcome | None) -> None:
        self._rule = rule
        self._was_undone = start is not Outcome.SUCCESS
        self._agreeing = 0

    def see(self, outcome: Outcome | None) -> bool:
        """Take one look, None if the detector gave no answer; whether the episode is a success now."""
        if outcome is Outcome.FAILURE:
            self._was_undone, self._agreeing = True, 0
        elif outcome is Outcome.SUCCESS and self._was_undone:
            self._agreeing += 1
        return self._agreeing >= self._rule.looks
