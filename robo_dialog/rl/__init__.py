"""Verdicts as reward and end of episodes, for reinforcement learning; needs the extra `rl`, no torch."""
