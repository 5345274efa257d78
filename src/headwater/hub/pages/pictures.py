"""Pictures in comments: how a browser gets them, and how forms without a script bring them along."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.hub import access, uploads
from headwater.hub.community import attachments
from headwater.hub.community.errors import ImageTooLarge, TooManyPictures
from headwater.hub.community.settings import AttachmentSettings
from headwater.hub.pages.head import name_of
from headwater.hub.uploads import SentFile
from headwater.kernel import Actor, HeadwaterError
from headwater.web import Access, Route, Site, shell
from headwater.web.bodies import announced_size

MAX_AT_ONCE = 10  # in a form
MAX_DROPPED_BYTES = 1 << 30  # of a form that is too large, read on for what was typed in it
TEXT_LIMIT_BYTES = 512 * 1024
# The bytes under a link never change; the right to see them may end, so nobody keeps them for longer.
MAX_AGE_S = 86_400
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Authorization, Cookie",
}


def most_bytes(site: Site) -> int:
    """How large one picture may be."""
    return site.settings.of(AttachmentSettings).max_bytes


async def show(request: Request) -> Response:
    """``GET /uploads/{id}.{extension}``."""
    name = request.path_params["name"]
    found, source, is_public = await web.call(request, attachments.open_attachment, name)
    headers = {
        **_HEADERS,
        "Cache-Control": f"{'public' if is_public else 'private'}, max-age={MAX_AGE_S}, immutable",
        "Content-Disposition": web.content_disposition(name),
    }
    return web.SourceResponse(request, source, headers=headers, media_type=found.media_type, etag=f'"{found.sha256}"')


class TalkForm(shell.Form):
    """A form whose ``text`` may come with pictures; ``text`` has their links once they were kept."""

    def __init__(self, values: dict[str, list[str]], pictures: Sequence[SentFile] = (), *, n_dropped: int = 0) -> None:
        super().__init__(values)
        self._own = values
        self.pictures = tuple(pictures)
        self.n_dropped = n_dropped  # pictures that were too large together to be taken

    def append(self, line: str) -> None:
        text = self["text"].rstrip()
        self._own["text"] = [f"{text}\n\n{line}\n" if text else f"{line}\n"]

    def discard(self) -> None:
        """Remove the temporary files of pictures."""
        for sent in self.pictures:
            sent.path.unlink(missing_ok=True)


async def read_form(request: Request) -> TalkForm:
    """A form of the talk pages, with pictures or without; ``keep_pictures`` is to follow, and tells if they were too large.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: asked before any picture is taken.
        ForgedForm, BadUpload, FormTooLarge, BodyTooLarge.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        form = await shell.read_form(request, limit_bytes=TEXT_LIMIT_BYTES)
        return TalkForm({name: form.all(name) for name in form.names()})
    shell.check_origin(request)
    site = web.site_of(request)
    await web.read_tx(request, access.get_repository, *name_of(request), Action.DISCUSS)
    most = most_bytes(site) * MAX_AT_ONCE + TEXT_LIMIT_BYTES
    is_too_large = (announced_size(request) or 0) > most
    new_part = None if is_too_large else lambda: uploads.new_part(site)
    sent = await web.receive_body(
        request,
        lambda reader: uploads.read_form(reader, content_type, new_part),
        limit_bytes=MAX_DROPPED_BYTES if is_too_large else most,
    )
    try:
        shell.check_csrf(request, sent["csrf"])
        shell.check_act(request, sent["act"])
    except HeadwaterError:
        sent.discard()
        raise
    return TalkForm({name: [text] for name, text in sent.texts.items()}, sent.files, n_dropped=sent.n_dropped)


async def keep_pictures(request: Request, form: TalkForm) -> None:
    """Keep the pictures that came with a form, and name each in its text; those before one that is refused stay named.

    Raises:
        TooManyPictures: none of them is kept.
        NotAnImage, ImageTooLarge, QuotaExceeded.
    """
    with _discarding(form):
        n_sent = max(len(form.pictures), form.n_dropped)
        if n_sent > MAX_AT_ONCE:
            raise TooManyPictures(n_sent, MAX_AT_ONCE, "Choose fewer at once; more can follow.")
        if form.n_dropped:
            raise ImageTooLarge(most_bytes(web.site_of(request)))
        if form.pictures:
            await web.call(request, _keep, form)


def _keep(site: Site, actor: Actor, form: TalkForm) -> None:
    for sent in form.pictures:
        made = attachments.keep(site, actor, sent.path, sent.sha256, sent.size_bytes)
        form.append(f"![{_described(sent.name)}]({attachments.path_of(made)})")


@contextmanager
def _discarding(form: TalkForm) -> Iterator[None]:
    try:
        yield
    finally:
        form.discard()


def _described(name: str) -> str:
    """A file's name as a picture's description, without what markdown would read."""
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    return " ".join(re.sub(r"[^\w\- .,()\u3000-\u303f\uff00-\uffef]", " ", stem).split())[:80]


ROUTES = [Route("GET", "/uploads/{name}", show, Access.READ)]
