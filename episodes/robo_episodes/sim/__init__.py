"""A MuJoCo tabletop that makes labelled robot episodes: scenes, a scripted noisy policy, domains, robomimic HDF5.

Needs the extra `sim`. Knows nothing of models; success comes from the simulator's state alone.
"""

import os
import sys

if sys.platform.startswith("linux"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # has to be chosen before mujoco is imported; needs no screen
