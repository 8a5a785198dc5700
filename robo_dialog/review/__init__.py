"""People look at doubtful verdicts in a local web page; what they decide becomes labels."""
