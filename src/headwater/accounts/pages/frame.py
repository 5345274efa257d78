"""What these pages share: their side navigation, the browser a request comes from, refusals beside the form."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater.accounts.browsers import Browser, describe_browser
from headwater.kernel import HeadwaterError, Kind
from headwater.web import shell, status_of

__all__ = ["ADMIN_TABS", "OWN_TABS", "Problem", "beside_form", "browser_of", "describe_browser", "refused"]

# Address and text's key of each entry. Contexts above add their own: ``pages.ADMIN_TABS.append(("/admin/storage", …))``.
OWN_TABS: list[tuple[str, str]] = [
    ("/settings/profile", "own.tab.profile"),
    ("/settings/sign-in", "own.tab.sign_in"),
    ("/settings/second-factor", "own.tab.second_factor"),
    ("/settings/log", "own.tab.log"),
    ("/settings/tokens", "own.tab.tokens"),
    ("/settings/organisations", "own.tab.organisations"),
]
ADMIN_TABS: list[tuple[str, str]] = [
    ("/admin/people", "admin.tab.people"),
    ("/admin/sign-up", "admin.tab.sign_up"),
]

_BESIDE_FORM = (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE, Kind.TOO_MANY)


@dataclass(frozen=True)
class Problem:
    """A refusal, shown beside the form named ``form`` with what was typed there."""

    error: HeadwaterError
    form: str
    values: shell.Form

    @property
    def code(self) -> str:
        return self.error.code

    @property
    def message(self) -> str:
        return self.error.message


def browser_of(request: Request) -> Browser:
    client = request.client
    return Browser(client.host if client else "", request.headers.get("user-agent", ""))


def beside_form(error: HeadwaterError, form: str, values: shell.Form, *also: Kind) -> Problem:
    """The refusal as a problem of its form; one that no correction of the form can mend is raised on."""
    if error.kind not in (*_BESIDE_FORM, *also):
        raise error
    return Problem(error, form, values)


def refused(request: Request, template: str, page: object, problem: Problem) -> Response:
    """The page again, with the problem in it."""
    return shell.render(request, template, page, status=status_of(problem.error), headers=problem.error.headers)
