"""The hub's pages: what people see of repositories. Data in frozen classes, templates that only print them."""

from pathlib import Path

from headwater.hub.pages import (
    blob,
    community,
    converting,
    create,
    edit,
    files,
    history,
    home,
    leaks,
    listing,
    quotas,
    record,
    refs,
    repository,
    safety,
    settings,
    status,
    storage,
    upload,
)
from headwater.hub.pages.addresses import PREFIXES
from headwater.hub.pages.doors import show
from headwater.hub.pages.likes import change as change_like
from headwater.web import Access, Route, shell

shell.register_pages("hub", Path(__file__).parent)


def _of_repository(prefix: str) -> list[Route]:
    """The pages of one repository; order matters only among addresses that could mean the same."""
    at = f"/{prefix}{{ns}}/{{name}}"
    return [
        Route("GET", at, show("hub/repository.html", repository.load), Access.READ),
        Route("GET", f"{at}/tree/{{rev}}/{{path*}}", show("hub/tree.html", files.load), Access.READ),
        Route("GET", f"{at}/tree", show("hub/tree.html", files.load), Access.READ),
        Route("GET", f"{at}/blob/{{rev}}/{{path*}}", blob.show, Access.READ),
        Route("GET", f"{at}/commits/{{rev}}/{{path*}}", show("hub/history.html", history.load_history), Access.READ),
        Route("GET", f"{at}/commits", show("hub/history.html", history.load_history), Access.READ),
        Route("GET", f"{at}/commit/{{rev}}", show("hub/commit.html", history.load_commit), Access.READ),
        Route("GET", f"{at}/compare/{{range*}}", show("hub/compare.html", history.load_compare), Access.READ),
        Route("GET", f"{at}/refs", show("hub/refs.html", refs.load), Access.READ),
        Route(
            "POST",
            f"{at}/refs",
            refs.change,
            Access.WRITE,
            acts=("create_branch", "create_tag", "delete_branch", "delete_tag"),
        ),
        Route("GET", f"{at}/record", show("hub/record.html", record.load), Access.READ),
        Route("GET", f"{at}/safety", safety.show, Access.READ),
        Route("POST", f"{at}/safety", safety.change, Access.ADMIN, acts=("release", "withdraw")),
        Route("GET", f"{at}/convert", converting.show, Access.WRITE),
        Route("POST", f"{at}/convert", converting.ask, Access.WRITE),
        Route("POST", f"{at}/like", change_like, Access.CONTRIBUTE),
        Route("GET", f"{at}/settings", settings.show, Access.ADMIN),
        Route(
            "POST",
            f"{at}/settings",
            settings.change,
            Access.ADMIN,
            acts=("visibility", "gate", "branch", "move", "delete"),
        ),
        Route("GET", f"{at}/settings/access", settings.show_access, Access.ADMIN),
        Route(
            "POST",
            f"{at}/settings/access",
            settings.change_access,
            Access.ADMIN,
            acts=("grant", "accepted", "rejected", "pending"),
        ),
        Route("GET", f"{at}/settings/secrets", leaks.show, Access.ADMIN),
        Route("POST", f"{at}/settings/secrets", leaks.change, Access.ADMIN),
        Route("POST", f"{at}/request-access", settings.ask_access, Access.CONTRIBUTE),
        Route("GET", f"{at}/upload/{{rev}}/{{path*}}", upload.show, Access.CONTRIBUTE),
        Route("POST", f"{at}/upload/{{rev}}/{{path*}}", upload.take_form, Access.CONTRIBUTE),
        Route("POST", f"{at}/upload-session", upload.begin, Access.CONTRIBUTE, "api"),
        Route("POST", f"{at}/upload-commit/{{rev}}/{{path*}}", upload.commit, Access.CONTRIBUTE, "api"),
        Route("POST", f"{at}/upload-discard", upload.discard, Access.CONTRIBUTE, "api"),
        Route("GET", f"{at}/new/{{rev}}/{{path*}}", edit.show, Access.CONTRIBUTE),
        Route("POST", f"{at}/new/{{rev}}/{{path*}}", edit.save, Access.CONTRIBUTE),
        Route("GET", f"{at}/edit/{{rev}}/{{path*}}", edit.show, Access.CONTRIBUTE),
        Route("POST", f"{at}/edit/{{rev}}/{{path*}}", edit.save, Access.CONTRIBUTE),
        Route("GET", f"{at}/delete/{{rev}}/{{path*}}", edit.show_delete, Access.CONTRIBUTE),
        Route("POST", f"{at}/delete/{{rev}}/{{path*}}", edit.delete, Access.CONTRIBUTE),
    ]


ROUTES = [
    Route("GET", "/", home.show, Access.PUBLIC),
    Route("GET", "/models", listing.show, Access.READ),
    Route("GET", "/datasets", listing.show, Access.READ),
    Route("GET", "/spaces", listing.show, Access.READ),
    Route("GET", "/new", create.show, Access.SELF),
    Route("GET", "/new/{kind:model|dataset|space}", create.show, Access.SELF),
    Route("POST", "/new/{kind:model|dataset|space}", create.create, Access.SELF),
    Route("GET", "/-/uploads/{id}", upload.ask, Access.SELF, "api"),
    Route("PUT", "/-/uploads/{id}", upload.append, Access.SELF, "api"),
    *(route for prefix in PREFIXES for route in _of_repository(prefix)),
    *storage.ROUTES,
    *status.ROUTES,
    *quotas.ROUTES,
    *safety.ROUTES,
    *community.ROUTES,
]
