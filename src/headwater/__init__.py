"""Headwater 源头: an open platform for open large models."""

__version__ = "0.1.0"
