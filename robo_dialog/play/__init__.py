"""Dialog games: rules, sampling, the two roles, the engine that plays many games at once, and the filters."""
