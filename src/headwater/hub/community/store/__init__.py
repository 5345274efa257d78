"""SQL of the community's tables and nothing else, one module a noun."""
