"""People's own pages: signing in and up, one-time links, settings, organisations, administration.

They work without JavaScript. Each is a frozen class and a template that only prints it.
"""

from pathlib import Path

from headwater.accounts.pages import admin, devices, entry, organisations, own
from headwater.accounts.pages.frame import ADMIN_TABS, OWN_TABS
from headwater.web import Access, Route, shell

__all__ = ["ADMIN_TABS", "OWN_TABS", "ROUTES"]

shell.register_pages("accounts", Path(__file__).parent)

ROUTES = [
    Route("GET", "/login", entry.show_sign_in, Access.PUBLIC),
    Route("POST", "/login", entry.sign_in, Access.PUBLIC),
    Route("POST", "/logout", entry.sign_out, Access.PUBLIC),
    Route("GET", "/join", entry.show_sign_up, Access.PUBLIC),
    Route("POST", "/join", entry.sign_up, Access.PUBLIC),
    Route("GET", "/link/{secret}", entry.show_link, Access.PUBLIC),
    Route("POST", "/link/{secret}", entry.use_link, Access.PUBLIC),
    Route("GET", "/login/oidc", entry.leave_for_issuer, Access.PUBLIC),
    Route("GET", "/login/oidc/callback", entry.come_back, Access.PUBLIC),
    Route("POST", "/oauth/device", devices.begin, Access.PUBLIC, "api"),
    Route("POST", "/oauth/token", devices.token, Access.PUBLIC, "api"),
    Route("GET", "/oauth/device", devices.show, Access.SELF),
    Route("POST", "/oauth/device/answer", devices.answer, Access.SELF),
    Route("GET", "/settings", own.lead_on, Access.PUBLIC),
    Route("GET", "/settings/profile", own.show_profile, Access.SELF),
    Route("POST", "/settings/profile", own.change_profile, Access.SELF),
    Route("GET", "/settings/sign-in", own.show_sign_in, Access.SELF),
    Route("POST", "/settings/sign-in", own.change_sign_in, Access.SELF),
    Route("GET", "/settings/tokens", own.show_tokens, Access.SELF),
    Route("POST", "/settings/tokens", own.change_tokens, Access.SELF),
    Route("GET", "/settings/organisations", own.show_organisations, Access.SELF),
    Route("POST", "/settings/organisations", own.change_organisations, Access.SELF),
    Route("GET", "/organizations/new", organisations.show_new, Access.SELF),
    Route("POST", "/organizations/new", organisations.create, Access.SELF),
    Route("GET", "/organizations/{org}/settings", organisations.show_profile, Access.ADMIN),
    Route("POST", "/organizations/{org}/settings", organisations.change_profile, Access.ADMIN),
    Route("GET", "/organizations/{org}/members", organisations.show_members, Access.PUBLIC),
    Route("POST", "/organizations/{org}/members", organisations.change_members, Access.ADMIN),
    Route("GET", "/admin", admin.lead_on, Access.PUBLIC),
    Route("GET", "/admin/people", admin.show_people, Access.SITE_ADMIN),
    Route("POST", "/admin/people", admin.change_people, Access.SITE_ADMIN),
    Route("GET", "/admin/sign-up", admin.show_sign_up, Access.SITE_ADMIN),
    Route("POST", "/admin/sign-up", admin.change_sign_up, Access.SITE_ADMIN),
]
