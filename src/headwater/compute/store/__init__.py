"""SQL of runs, by subject."""
