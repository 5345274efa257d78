"""What every door stands on: routing on the raw path, bodies, ranges, the error dialects, the page shell."""

from headwater.web.routing import Access, Endpoint, Route, Router, path_for
from headwater.web.site import Site

__all__ = ["Access", "Endpoint", "Route", "Router", "Site", "path_for"]
