"""Recordings of robots to episodes and frame pools; knows file formats, knows no model."""
