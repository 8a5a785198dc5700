"""Verdicts over gRPC: the service, its admission and its life cycle; knows the detector, never how it was trained."""
