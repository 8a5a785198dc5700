"""The reward model: the last images of a batch go to the server, verdicts come back as rewards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards.pretrained import PreTrainedRewardModel

from robo_dialog.detect.client import DetectorClient, RemoteVerdict
from robo_dialog.detect.verdict import Frame, Outcome, Request
from robo_dialog.detect.wire import encode_png
from robo_dialog.errors import ConfigError, DetectorError
from robo_dialog.rl.lerobot import pixels
from robo_dialog.rl.lerobot_reward.configuration_robo_dialog import RoboDialogConfig


class RoboDialogRewardModel(PreTrainedRewardModel):  # type: ignore[misc]  # untyped in lerobot
    """Asks `config.address`; a checkpoint of it is its configuration alone."""

    name = "robo_dialog"
    config_class = RoboDialogConfig

    def __init__(self, config: RoboDialogConfig) -> None:
        super().__init__(config)
        self.config = config
        self._client = DetectorClient(config.address, timeout_s=config.timeout_s)

    def compute_reward(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Rewards, float32 [N], of N moments; all are asked about at once.

        Args:
            batch: `observation.images.*` as [N, 3, height, width] or [N, steps, 3, height, width], of which the last
                step counts, bytes or numbers from 0 to 1; `task`, one text or N.

        Raises:
            ConfigError: there is no image, or no instruction.
            DetectorError: the server gives no verdict.
        """
        images = {name: value for name, value in batch.items() if "image" in name and getattr(value, "ndim", 0) >= 4}
        if not images:
            raise ConfigError(f"a batch of {sorted(batch)} has no image; robo_dialog needs observation.images.*")
        count = len(next(iter(images.values())))
        requests = [Request(_views(images, place), self._task(batch, place)) for place in range(count)]
        return torch.tensor([self._reward(answer) for answer in self._client.is_success_all(requests)])

    def _task(self, batch: Mapping[str, Any], place: int) -> str:
        told = batch.get("task") or self.config.default_task
        task = told if isinstance(told, str) else told[place if len(told) > 1 else 0]
        if not task:
            raise ConfigError("a batch without `task` cannot be judged; set default_task to the instruction")
        return str(task)

    def _reward(self, answer: RemoteVerdict | DetectorError) -> float:
        if isinstance(answer, DetectorError):
            raise answer
        is_success = answer.outcome is Outcome.SUCCESS
        return answer.probability if self.config.reward_output == "probability" else float(is_success)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.config._save_pretrained(save_directory)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: RewardModelConfig | None = None,
        **loading: Any,  # noqa: ANN401 - of lerobot
    ) -> RoboDialogRewardModel:
        """See `PreTrainedRewardModel.from_pretrained`."""
        return cls(config or RewardModelConfig.from_pretrained(pretrained_name_or_path, **loading))


def _views(images: Mapping[str, Any], place: int) -> list[Frame]:
    """One moment in all cameras."""
    views = []
    for name, value in images.items():
        image = value[place]
        views.append(Frame(encode_png(pixels(image[-1] if image.ndim == 4 else image, name)), name.rsplit(".", 1)[-1]))
    return views
