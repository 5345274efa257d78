"""Models that are served: endpoints, the engines behind them, and the OpenAI-compatible gateway before them."""

from headwater.web.site import Site

__all__ = ["install"]


def install(site: Site) -> None:
    """Add what the gateway keeps per process: connections to engines, and what was counted."""
    from headwater.serving.gateway.relay import Gateway

    site.add_part(Gateway(site))
