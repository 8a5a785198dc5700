"""The recipe that makes the embedded model `tiny` from simulated `source` episodes; seeded, from scratch."""
