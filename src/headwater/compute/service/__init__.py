"""What may happen to runs, one function an act."""
