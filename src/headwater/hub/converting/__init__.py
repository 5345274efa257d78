"""Torch files offered as safetensors: asked for by writers, made by a job in a locked-down child, merged by whoever merges."""

from headwater.hub.converting.errors import NothingToConvert
from headwater.hub.converting.models import Conversion, is_convertible, target_of
from headwater.hub.converting.service import ask, list_conversions

__all__ = ["Conversion", "NothingToConvert", "ask", "is_convertible", "list_conversions", "target_of"]
