"""Gymnasium wrappers whose reward and termination are verdicts.

    env = SuccessReward(env, server(DetectorClient("127.0.0.1:50051")), "put the red cube on the plate")
    envs = VectorSuccessReward(envs, server(client), "put the red cube on the plate", rule=Rule(every=10, looks=2))

What the environment itself thinks of a step is kept in `info["env_reward"]`. The vector wrapper asks about all
environments at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from robo_dialog.detect.verdict import Frame, Outcome, Request
from robo_dialog.errors import ConfigError
from robo_dialog.rl.asking import Ask
from robo_dialog.rl.watch import Rule, Watch

Obs = TypeVar("Obs")
Act = TypeVar("Act")
Info = dict[str, Any]
View = bytes | Frame | NDArray[np.uint8]
"""An encoded image, with or without its camera's name, or RGB uint8 [height, width, 3]."""


class SuccessReward(gymnasium.Wrapper[Obs, Act, Obs, Act]):
    """One environment.

    `info` gets `is_success`, `outcome` (of the look at this step; None where there was none) and `env_reward`.

    Args:
        env: its episodes are attempts at the instruction.
        ask: whom to ask; see `robo_dialog.rl.asking`.
        instruction: what the robot is told to do.
        rule: when to look, and how many looks it takes.
        views: 1 to 16 images of the moment, from an observation; what `env.render()` shows, if left out.
    """

    def __init__(
        self,
        env: gymnasium.Env[Obs, Act],
        ask: Ask,
        instruction: str,
        *,
        rule: Rule | None = None,
        views: Callable[[Obs], Sequence[View]] | None = None,
    ) -> None:
        super().__init__(env)
        self._ask, self._instruction, self._rule = ask, instruction, rule or Rule()
        self._views = views or (lambda _: [rendered(env.render())])
        self._steps = 0
        self._watch = Watch(self._rule, None)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Obs, Info]:
        """Begin an episode with a look at it."""
        observation, info = self.env.reset(seed=seed, options=options)
        outcome = self._look(observation)
        self._steps, self._watch = 0, Watch(self._rule, outcome)
        return observation, {**info, "is_success": False, "outcome": outcome}

    def step(self, action: Act) -> tuple[Obs, SupportsFloat, bool, bool, Info]:
        """One step, rewarded by the verdict on it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        outcome, success = None, False
        if self._rule.is_due(self._steps, ends=terminated or truncated):
            outcome = self._look(observation)
            success = self._watch.see(outcome)
        told = {"is_success": success, "outcome": outcome, "env_reward": reward}
        return observation, self._rule.reward * success, terminated or success, truncated, {**info, **told}

    def _look(self, observation: Obs) -> Outcome | None:
        return self._ask([Request(self._views(observation), self._instruction)])[0]


class VectorSuccessReward(VectorWrapper):
    """Several environments at once.

    `infos` gets `is_success` and `env_reward`, arrays (N,), and `outcome`, a list of N. The environments must have been
    made with `autoreset_mode=AutoresetMode.DISABLED`, for they do not know when a verdict ends an episode: reset those
    that ended with `reset(options={"reset_mask": terminations | truncations})`.

    Args:
        env: N environments.
        ask: whom to ask; see `robo_dialog.rl.asking`.
        instruction: what the robots are told to do, the same or one for each environment.
        rule: when to look, and how many looks it takes.
        views: N times 1 to 16 images of the moment, from the observations; what `env.render()` shows, if left out.

    Raises:
        ConfigError: the environments reset themselves, or there are not N instructions.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        ask: Ask,
        instruction: str | Sequence[str],
        *,
        rule: Rule | None = None,
        views: Callable[[Any], Sequence[Sequence[View]]] | None = None,
    ) -> None:
        super().__init__(env)
        if env.metadata.get("autoreset_mode") is not AutoresetMode.DISABLED:
            raise ConfigError(
                "the environments reset themselves and would not do so when a verdict ends an episode; make them with "
                "vector_kwargs={'autoreset_mode': AutoresetMode.DISABLED}"
            )
        texts = [instruction] * env.num_envs if isinstance(instruction, str) else list(instruction)
        if len(texts) != env.num_envs:
            raise ConfigError(f"{len(texts)} instructions for {env.num_envs} environments; give one, or one for each")
        self._ask, self._instructions, self._rule = ask, texts, rule or Rule()
        self._views = views or (lambda _: [[rendered(frame)] for frame in env.render() or ()])
        self._steps = np.zeros(env.num_envs, int)
        self._watches = [Watch(self._rule, None)] * env.num_envs

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Begin episodes, in all environments or in those that `options["reset_mask"]` names."""
        chosen = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)), bool)
        observations, infos = self.env.reset(seed=seed, options=options)
        outcomes = self._look(observations, chosen)
        for place in np.flatnonzero(chosen):
            self._watches[place] = Watch(self._rule, outcomes[place])
        self._steps[chosen] = 0
        return observations, {**infos, "is_success": np.zeros(self.num_envs, bool), "outcome": outcomes}

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:  # noqa: ANN401
        """One step of all environments, rewarded by the verdicts on them."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        self._steps += 1
        ends = terminations | truncations
        due = np.array([self._rule.is_due(steps, ends=end) for steps, end in zip(self._steps, ends, strict=True)])
        outcomes = self._look(observations, due)
        success = np.zeros(self.num_envs, bool)
        for place in np.flatnonzero(due):
            success[place] = self._watches[place].see(outcomes[place])
        told = {"is_success": success, "outcome": outcomes, "env_reward": rewards}
        return observations, self._rule.reward * success, terminations | success, truncations, {**infos, **told}

    def _look(self, observations: Any, chosen: NDArray[np.bool_]) -> list[Outcome | None]:  # noqa: ANN401
        """N outcomes, None where nobody looked."""
        outcomes: list[Outcome | None] = [None] * self.num_envs
        places = np.flatnonzero(chosen).tolist()
        if places:
            views = self._views(observations)
            answers = self._ask([Request(views[place], self._instructions[place]) for place in places])
            for place, answer in zip(places, answers, strict=True):
                outcomes[place] = answer
        return outcomes


def rendered(frame: object) -> NDArray[np.uint8]:
    """What `render()` gave, if it is an image.

    Raises:
        ConfigError: it is none.
    """
    if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3):
        raise ConfigError(
            "env.render() gives no image; make the environment with render_mode='rgb_array', or give views"
        )
    return frame
