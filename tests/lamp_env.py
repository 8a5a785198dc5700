"""A small Gymnasium environment for the tests of verdicts as reward."""

from __future__ import annotations

import gymnasium
import numpy as np


class Lamp(gymnasium.Env):
    """Shows a grey image as bright as the last action; an episode lasts five steps. Its own reward is worthless."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, start: float = 0.0, render_mode: str = "rgb_array") -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (1,))
        self.action_space = gymnasium.spaces.Box(0, 255, (1,))
        self.render_mode = render_mode
        self._start = start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._level, self._steps = self._start, 0
        return np.array([self._level], np.float32), {}

    def step(self, action):
        self._level, self._steps = float(action[0]), self._steps + 1
        return np.array([self._level], np.float32), -7.0, False, self._steps == 5, {}

    def render(self):
        return np.full((32, 32, 3), round(self._level), np.uint8) if self.render_mode == "rgb_array" else None
