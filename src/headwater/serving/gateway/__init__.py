"""The OpenAI-compatible API: keys, limits, counting, and the engines' answers as they come."""
