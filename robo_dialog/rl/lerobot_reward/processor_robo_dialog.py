"""Nothing is done to a batch before or after: the server decodes and resizes as its model needs."""

from __future__ import annotations

from typing import Any

from lerobot.processor import PolicyProcessorPipeline

from robo_dialog.rl.lerobot_reward.configuration_robo_dialog import RoboDialogConfig


def make_robo_dialog_pre_post_processors(
    config: RoboDialogConfig,
    dataset_stats: Any = None,  # noqa: ANN401 - of lerobot
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """Two pipelines without a step, as LeRobot asks for them by this name."""
    return PolicyProcessorPipeline(steps=[]), PolicyProcessorPipeline(steps=[])
