"""Rounds of self-improvement: play, filter, tune, calibrate, export, gate."""
