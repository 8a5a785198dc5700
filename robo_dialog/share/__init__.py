"""Frames with what was said of them, in the files of other programs."""
