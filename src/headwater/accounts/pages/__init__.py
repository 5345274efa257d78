"""People's own pages: signing in and up, one-time links, settings, organisations, administration.

They work without JavaScript. Each is a frozen class and a template that only prints it.
"""

from pathlib import Path

from headwater.accounts.pages import (
    admin,
    confirm,
    devices,
    entry,
    journal,
    organisations,
    other_site,
    own,
    second_factor,
)
from headwater.accounts.pages.frame import ADMIN_TABS, OWN_TABS
from headwater.web import Access, Route, shell

__all__ = ["ADMIN_TABS", "OWN_TABS", "ROUTES"]

shell.register_pages("accounts", Path(__file__).parent)
shell.ANSWERS["proof_needed"] = confirm.ask

ROUTES = [
    Route("GET", "/login", entry.show_sign_in, Access.PUBLIC),
    Route("POST", "/login", entry.sign_in, Access.PUBLIC),
    Route("GET", "/login/second", entry.show_second_step, Access.PUBLIC),
    Route("POST", "/login/second", entry.take_second_step, Access.PUBLIC),
    Route("POST", "/logout", entry.sign_out, Access.PUBLIC),
    Route("GET", "/join", entry.show_sign_up, Access.PUBLIC),
    Route("POST", "/join", entry.sign_up, Access.PUBLIC),
    Route("GET", "/link/{secret}", entry.show_link, Access.PUBLIC),
    Route("POST", "/link/{secret}", entry.use_link, Access.PUBLIC, acts=("join", "accept", "reset")),
    Route("GET", "/login/oidc", other_site.leave, Access.PUBLIC),
    Route("GET", "/login/oidc/callback", other_site.come_back, Access.PUBLIC),
    Route("POST", "/oauth/device", devices.begin, Access.PUBLIC, "api"),
    Route("POST", "/oauth/token", devices.token, Access.PUBLIC, "api"),
    Route("GET", "/oauth/device", devices.show, Access.PUBLIC),
    Route("POST", "/oauth/device/answer", devices.answer, Access.SELF, acts=("approve", "refuse")),
    Route("GET", "/settings", own.lead_on, Access.PUBLIC),
    Route("GET", "/settings/profile", own.show_profile, Access.SELF),
    Route("POST", "/settings/profile", own.change_profile, Access.SELF),
    Route("GET", "/settings/sign-in", own.show_sign_in, Access.SELF),
    Route(
        "POST",
        "/settings/sign-in",
        own.change_sign_in,
        Access.SELF,
        acts=("password", "tie", "untie", "end", "end_others", "end_all"),
    ),
    Route("GET", "/settings/second-factor", second_factor.show, Access.SELF),
    Route(
        "POST",
        "/settings/second-factor",
        second_factor.change,
        Access.SELF,
        acts=("begin_app", "finish_app", "passkey", "remove", "codes"),
    ),
    Route("GET", "/settings/confirm", confirm.show, Access.SELF),
    Route("POST", "/settings/confirm", confirm.confirm, Access.SELF),
    Route("GET", "/settings/log", journal.show_own, Access.SELF),
    Route("POST", "/settings/log", journal.mark_own, Access.SELF),
    Route("GET", "/settings/tokens", own.show_tokens, Access.SELF),
    Route("POST", "/settings/tokens", own.change_tokens, Access.SELF, acts=("create", "revoke")),
    Route("GET", "/settings/organisations", own.show_organisations, Access.SELF),
    Route(
        "POST", "/settings/organisations", own.change_organisations, Access.SELF, acts=("leave", "invite", "withdraw")
    ),
    Route("GET", "/organizations/new", organisations.show_new, Access.SELF),
    Route("POST", "/organizations/new", organisations.create, Access.SELF),
    Route("GET", "/organizations/{org}/settings", organisations.show_profile, Access.ADMIN),
    Route("POST", "/organizations/{org}/settings", organisations.change_profile, Access.ADMIN),
    Route("GET", "/organizations/{org}/audit", journal.show_audit, Access.ADMIN),
    Route("GET", "/organizations/{org}/audit/export/{format:csv|json|jsonl}", journal.export_audit, Access.ADMIN),
    Route("GET", "/organizations/{org}/members", organisations.show_members, Access.PUBLIC),
    Route(
        "POST",
        "/organizations/{org}/members",
        organisations.change_members,
        Access.ADMIN,
        acts=("set_role", "remove", "invite", "withdraw"),
    ),
    Route("GET", "/admin", admin.lead_on, Access.PUBLIC),
    Route("GET", "/admin/people", admin.show_people, Access.SITE_ADMIN),
    Route(
        "POST",
        "/admin/people",
        admin.change_people,
        Access.SITE_ADMIN,
        acts=("create", "suspend", "reinstate", "make_admin", "unmake_admin", "reset"),
    ),
    Route("GET", "/admin/sign-up", admin.show_sign_up, Access.SITE_ADMIN),
    Route("POST", "/admin/sign-up", admin.change_sign_up, Access.SITE_ADMIN, acts=("policy", "invite", "withdraw")),
]
