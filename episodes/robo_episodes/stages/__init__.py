"""Long work as stages over shards, done here, in processes or on a Ray cluster, with the same bytes as the outcome."""
