"""A reward model for LeRobot that asks a server: type `robo_dialog`, found by `discover_packages_path`.

LeRobot finds model and processors of a configuration by the names of their modules, which are therefore not ours to
choose. Needs lerobot (0.6 or newer), which is not installed with robo-dialog.
"""

from __future__ import annotations

from robo_dialog.rl.lerobot_reward.configuration_robo_dialog import RoboDialogConfig

__all__ = ["RoboDialogConfig"]
