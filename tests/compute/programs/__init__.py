"""Programs of runs for tests: real ones, small."""
