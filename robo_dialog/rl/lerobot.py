"""A LeRobot processor step that rewards transitions by verdicts, in the place of its reward classifier.

    step = SuccessRewardStep(address="127.0.0.1:50051", instruction="put the red cube on the plate", every=10, looks=2)

Put it into the pipeline of an environment after the step that makes observations; `reset` of the pipeline begins an
episode. It is registered as `robo_dialog_success_reward`, so that pipelines that hold it can be saved and loaded where
this module has been imported. Needs lerobot (0.4 or newer), which is not installed with robo-dialog.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lerobot.processor import EnvTransition, ProcessorStep, ProcessorStepRegistry, TransitionKey
from numpy.typing import NDArray

from robo_dialog.detect.client import DetectorClient
from robo_dialog.detect.verdict import Frame, Outcome, Request
from robo_dialog.detect.wire import encode_png
from robo_dialog.errors import ConfigError
from robo_dialog.rl.asking import Ask, server
from robo_dialog.rl.watch import Rule, Watch

CONFIGURED = ("address", "instruction", "every", "looks", "reward", "terminate_on_success")


@dataclass
@ProcessorStepRegistry.register("robo_dialog_success_reward")
class SuccessRewardStep(ProcessorStep):  # type: ignore[misc]  # untyped in lerobot
    """Rewards success and ends the episode with it; whatever is no success keeps the reward that it had.

    The images of an observation are all of its entries that have `image` in their names: one environment's, as tensors
    or arrays [3, height, width] or [1, 3, height, width], of bytes or of numbers from 0 to 1. The instruction is that
    of the transition (`task`), if it has one.
    """

    address: str = "127.0.0.1:50051"
    """Of the server that is asked."""
    instruction: str = ""
    """What the robot is told to do, where the transition does not say."""
    every: int | None = 1
    """Steps from one look to the next; None looks at the end of an episode only."""
    looks: int = 1
    """Looks in a row that have to be SUCCESS."""
    reward: float = 1.0
    terminate_on_success: bool = True
    ask: Ask | None = None
    """Whom to ask instead of a server."""
    _watch: Watch | None = field(default=None, init=False, repr=False)
    _steps: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the rule; connect at the first look."""
        self._rule = Rule(self.every, self.looks, self.reward)
        self._ask = self.ask or server(DetectorClient(self.address))

    def __call__(self, transition: EnvTransition) -> EnvTransition:
        """See `ProcessorStep.__call__`. The first transition after `reset` is the start of the episode.

        Raises:
            ConfigError: there is no image, or no instruction.
            DetectorError: the server gives no verdict, and not for lack of time.
        """
        new = dict(transition)
        ends = bool(new.get(TransitionKey.DONE)) or bool(new.get(TransitionKey.TRUNCATED))
        outcome, success = None, False
        if self._watch is None:
            outcome = self._look(new)
            self._watch = Watch(self._rule, outcome)
        else:
            self._steps += 1
            if self._rule.is_due(self._steps, ends=ends):
                outcome = self._look(new)
                success = self._watch.see(outcome)
        if success:
            new[TransitionKey.REWARD] = self.reward
            new[TransitionKey.DONE] = bool(new.get(TransitionKey.DONE)) or self.terminate_on_success
        told = {"success_outcome": None if outcome is None else str(outcome), "is_success": success}
        new[TransitionKey.INFO] = {**(new.get(TransitionKey.INFO) or {}), **told}
        return new

    def reset(self) -> None:
        """Begin an episode."""
        self._watch, self._steps = None, 0

    def get_config(self) -> dict[str, Any]:
        """What a saved pipeline needs to make this step again."""
        return {name: getattr(self, name) for name in CONFIGURED}

    def transform_features(self, features: Any) -> Any:  # noqa: ANN401 - of lerobot
        """Features stay as they are."""
        return features

    def _look(self, transition: dict[Any, Any]) -> Outcome | None:
        task = (transition.get(TransitionKey.COMPLEMENTARY_DATA) or {}).get("task") or self.instruction
        text = task[0] if isinstance(task, (list, tuple)) else task
        observation = transition.get(TransitionKey.OBSERVATION) or {}
        views = [
            Frame(encode_png(pixels(value, name)), name.rsplit(".", 1)[-1])
            for name, value in observation.items()
            if "image" in name
        ]
        if not views or not text:
            raise ConfigError(f"a transition with {len(views)} images and the instruction {text!r} cannot be judged")
        return self._ask([Request(views, str(text))])[0]


def pixels(value: Any, name: str) -> NDArray[np.uint8]:  # noqa: ANN401 - a tensor or an array
    """An image of an observation as RGB uint8 [height, width, 3].

    Raises:
        ConfigError: it has another shape.
    """
    image = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    image = image[0] if image.ndim == 4 and len(image) == 1 else image
    if image.ndim != 3 or image.shape[0] != 3:
        raise ConfigError(f"{name}: has the shape {list(image.shape)}, expected [3, height, width]")
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))
