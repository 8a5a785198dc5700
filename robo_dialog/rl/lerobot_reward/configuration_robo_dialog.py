"""What LeRobot has to know of the reward model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lerobot.configs.rewards import RewardModelConfig


@RewardModelConfig.register_subclass("robo_dialog")
@dataclass
class RoboDialogConfig(RewardModelConfig):  # type: ignore[misc]  # untyped in lerobot
    """A server and what to make of its verdicts; there are no weights."""

    address: str = "127.0.0.1:50051"
    """`host:port` of `robo-dialog serve`."""
    reward_output: Literal["success", "probability"] = "success"
    """1 for SUCCESS and 0 for all else, or the calibrated P(success)."""
    default_task: str = ""
    """The instruction, where the data have none."""
    timeout_s: float = 10.0
    """Deadline of a question in seconds."""
