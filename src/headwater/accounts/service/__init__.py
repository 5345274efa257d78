"""What may happen to people, organisations and their credentials: one function per act, one module per noun."""

from headwater.accounts.service.links import ensure_first_admin_link

__all__ = ["ensure_first_admin_link"]
