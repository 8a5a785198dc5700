"""Verdicts on whole data sets, beside the labels that recordings have, and their review by people."""
