"""SQL of this context and nothing else: a transaction in, models out. For ``accounts`` alone."""
