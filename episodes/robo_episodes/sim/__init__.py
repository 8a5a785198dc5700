"""A MuJoCo tabletop that makes labelled robot episodes: scenes, a scripted noisy policy, domains, robomimic HDF5.

Needs the extra `sim`. Knows nothing of models; success comes from the simulator's state alone.
"""
