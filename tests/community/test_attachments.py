"""Pictures in comments: what is taken, who sees it, who pays, and when it goes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Drawn
from sqlalchemy import func, select

from headwater.accounts import NotAllowed, NotSignedIn
from headwater.hub import gate, quotas
from headwater.hub.collector import collect
from headwater.hub.collector.run import CLAIM_GRACE, CONDEMNED_GRACE, DELETED_GRACE
from headwater.hub.community import attachments, discussions
from headwater.hub.community.errors import AttachmentNotFound, ImageTooLarge, NotAnImage
from headwater.hub.community.images import find_image
from headwater.hub.quotas import recount
from headwater.hub.quotas.store import find_quota, put_limits
from headwater.hub.repos import service as repos
from headwater.hub.tables.attachments import attachment
from headwater.kernel import ANONYMOUS, SYSTEM, Actor, Grant, Sha256, TokenLimits, utcnow
from tests.community.conftest import World
from tests.community.test_pages import Browser
from tests.conftest import LiveApp
from tests.gate.files import zipped

KINDS = ("PNG", "JPEG", "GIF", "WEBP")
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(
    kind: str = "PNG", size: tuple[int, int] = (40, 30), colour: tuple[int, int, int] = (11, 107, 115)
) -> bytes:
    out = io.BytesIO()
    Drawn.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


# ---- what is taken


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_by_its_bytes(kind):
    found = find_image(io.BytesIO(picture(kind, (321, 123))))
    assert (found.media_type, found.width, found.height) == (f"image/{kind.lower()}", 321, 123)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": Drawn.Exif().tobytes() or b"Exif\0\0MM\0*"}])
def test_every_form_of_webp_tells_its_size(options):
    out = io.BytesIO()
    Drawn.new("RGB", (300, 200)).save(out, "WEBP", **options)
    assert find_image(io.BytesIO(out.getvalue())).n_pixels == 60_000


def test_a_jpegs_own_thumbnail_is_not_taken_for_it():
    whole = picture("JPEG", (640, 480))
    inner = b"Exif\0\0" + picture("JPEG", (16, 16))
    nested = whole[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + whole[2:]
    assert find_image(io.BytesIO(nested)).width == 640


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SVG,
        b"<!doctype html><script>alert(1)</script>",
        b"GIF89a" + bytes(20),  # no width
        b"GIF89a/*" + b"\x01",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIDAT" + bytes(16),
        b"RIFF\0\0\0\0WEBPVP9 " + bytes(20),
        b"RIFF\0\0\0\0WEBPVP8X" + bytes(8),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8" + b"\xff\xd0" * 5000,
        b"\xff\xd8\xff\xd9",
        b"BM" + bytes(60),
        b"%PDF-1.7",
        b"PK\x03\x04",
    ],
)
def test_nothing_else_is_a_picture(data):
    assert find_image(io.BytesIO(data)) is None


class Counted(io.BytesIO):
    n_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.n_reads += 1
        return super().read(size)


@pytest.mark.parametrize(
    "piece",
    [
        b"\xff",
        b"\xff\xd0",
        b"\xff" * 16 + b"\xd0",
        b"\xff" * 10 + b"\xe0\x00\x02",
        b"\xff\xe0\x00\x02",
        b"\x00\x00\x00\x00IDAT\x00\x00\x00\x00",
        b"\x21\xfe\x01\x00\x00",
    ],
)
@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\xff\xd8", *(picture(kind)[:24] for kind in KINDS)])
def test_little_of_a_long_file_is_looked_at(start, piece):
    file = Counted(start + piece * (3_000_000 // len(piece)))
    find_image(file)
    assert file.n_reads < 50_000


def test_a_jpeg_may_have_some_fill_bytes():
    whole = picture("JPEG", (321, 123))
    assert find_image(io.BytesIO(whole[:2] + b"\xff" * 16 + whole[2:])).width == 321
    assert find_image(io.BytesIO(whole[:2] + b"\xff" * 17 + whole[2:])) is None


@given(st.sampled_from(KINDS), st.integers(0, 400), st.binary(max_size=40))
def test_any_bytes_are_a_picture_or_none(kind, at, noise):
    data = picture(kind)
    found = find_image(io.BytesIO(data[:at] + noise))
    assert found is None or (found.width > 0 and found.height > 0)


# ---- who sees it


def keep(world: World, actor: Actor, data: bytes | None = None) -> attachments.Attachment:
    data = data or picture()
    with world.site.blobs.temporary() as path:
        path.write_bytes(data)
        return attachments.keep(world.site, actor, path, Sha256(hashlib.sha256(data).hexdigest()), len(data))


def sees(world: World, actor: Actor, made: attachments.Attachment) -> bool:
    try:
        attachments.open_attachment(world.site, actor, attachments.path_of(made).rpartition("/")[2])
    except AttachmentNotFound:
        return False
    return True


def say(world: World, actor: Actor, repo, text: str):
    now = utcnow()
    _, made = world.site.db.write(
        discussions.open_discussion, actor, repo.kind, repo.name, title="Look at this", body=text, now=now
    )
    return made


def test_a_picture_is_its_uploaders_until_a_comment_names_it(world: World):
    ada, bob = world.person("ada"), world.person("bob")
    repo, made = world.repo("ada/river"), keep(world, bob)
    assert [sees(world, who, made) for who in (bob, ada, ANONYMOUS)] == [True, False, False]
    say(world, bob, repo, f"Here: ![x]({attachments.path_of(made)})")
    assert [sees(world, who, made) for who in (bob, ada, ANONYMOUS)] == [True, True, True]


def test_in_a_private_repository_its_readers_see_it_and_nobody_else(world: World):
    ada, bob, eve = (world.person(name) for name in ("ada", "bob", "eve"))
    repo, made = world.repo("ada/secret", is_private=True), keep(world, ada)
    say(world, ada, repo, attachments.path_of(made))
    assert [sees(world, who, made) for who in (ada, bob, eve, ANONYMOUS)] == [True, False, False, False]
    limits = TokenLimits(1, "t", "fine", (Grant("read", None, repo.id),))
    assert sees(world, replace(ada, limits=limits), made)
    assert not sees(world, replace(ada, limits=replace(limits, grants=())), made)
    say(world, ada, world.repo("ada/open"), attachments.path_of(made))  # who could read it may show it to all
    assert sees(world, ANONYMOUS, made)


def test_naming_anothers_picture_opens_nothing(world: World):
    ada, eve = world.person("ada"), world.person("eve")
    made = keep(world, ada)
    say(world, eve, world.repo("eve/trap"), f"![x](http://hub.test{attachments.path_of(made)})")
    assert not sees(world, eve, made)
    assert not sees(world, ANONYMOUS, made)
    assert sees(world, ada, made)


def test_another_name_or_ending_is_as_absent(world: World):
    ada = world.person("ada")
    made = keep(world, ada)
    for name in (made.id, f"{made.id}.jpg", f"{made.id}.png.png", f"{made.id.upper()}.png", "0" * 32 + ".png", "x", ""):
        with pytest.raises(AttachmentNotFound):
            attachments.open_attachment(world.site, ada, name)


def test_a_hidden_comment_and_a_deleted_repository_show_nothing(world: World):
    ada, bob = world.person("ada"), world.person("bob")
    repo, made, other = world.repo("ada/river"), keep(world, bob), keep(world, bob)
    talk = say(world, bob, repo, attachments.path_of(made))
    event = world.site.db.write(
        discussions.add_comment, bob, repo.kind, repo.name, talk.num, attachments.path_of(other), now=utcnow()
    )
    world.site.db.write(discussions.hide_comment, ada, repo.kind, repo.name, talk.num, event.public_id, now=utcnow())
    assert not sees(world, ada, other)
    assert sees(world, ada, made)
    world.site.db.write(repos.delete_repository, ada, repo.kind, repo.name, now=utcnow())
    assert [sees(world, who, made) for who in (bob, ada, ANONYMOUS)] == [False, False, False]


def test_a_repository_that_was_closed_shows_none_but_to_administrators(world: World):
    ada = world.person("ada")
    repo, made = world.repo("ada/river"), keep(world, ada)
    say(world, ada, repo, attachments.path_of(made))
    world.site.db.write(repos.set_disabled, SYSTEM, repo.kind, repo.name, is_disabled=True, now=utcnow())
    assert [sees(world, who, made) for who in (ada, ANONYMOUS)] == [False, False]
    assert sees(world, replace(world.person("eve"), is_site_admin=True), made)


def test_an_edit_may_bring_one_along(world: World):
    ada = world.person("ada")
    repo, made = world.repo("ada/river"), keep(world, ada)
    talk = say(world, ada, repo, "first")
    (event,) = world.site.db.read(discussions.get_detail, ada, repo.kind, repo.name, talk.num).events
    world.site.db.write(
        discussions.edit_comment,
        ada,
        repo.kind,
        repo.name,
        talk.num,
        event.public_id,
        f"with {attachments.path_of(made)}",
        now=utcnow(),
    )
    assert sees(world, ANONYMOUS, made)


# ---- who may, and who pays


def test_strangers_and_tokens_that_may_not_comment_bring_none(world: World):
    ada, read = world.person("ada"), world.site.db.read
    repo = world.repo("ada/river")
    with pytest.raises(NotSignedIn):
        read(attachments.require_attaching, ANONYMOUS)
    for limits in (TokenLimits(1, "t", "read"), TokenLimits(1, "t", "fine", (Grant("read", None, repo.id),))):
        with pytest.raises(NotAllowed):
            read(attachments.require_attaching, replace(ada, limits=limits))
    for limits in (TokenLimits(1, "t", "write"), TokenLimits(1, "t", "fine", (Grant("contribute", None, repo.id),))):
        assert read(attachments.require_attaching, replace(ada, limits=limits)) == ada.account_id


def count(world: World) -> int:
    return world.site.db.read(lambda tx: tx.execute(select(func.count()).select_from(attachment)).scalar_one())


def test_its_uploader_pays_and_no_more_than_there_is_room(world: World):
    bob, data = world.person("bob"), picture()
    keep(world, bob, data)
    with_one = world.site.db.read(find_quota, bob.account_id).usage
    assert (with_one.attachment_bytes, with_one.used_bytes) == (len(data), len(data))
    world.site.db.write(put_limits, bob.account_id, quotas.Limits(max_bytes=2 * len(data) - 1))
    with pytest.raises(quotas.QuotaExceeded):
        keep(world, bob, data)
    assert count(world) == 1
    assert world.site.db.read(recount.find_differences) == []


def test_a_picture_is_judged_by_the_rules_for_files(world: World):
    bob = world.person("bob")
    long = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2 << 20).to_bytes(4, "big") + (1).to_bytes(4, "big")
    with pytest.raises(gate.FileRefused, match=r"image\.bomb"):
        keep(world, bob, long)
    with pytest.raises(gate.FileRefused, match=r"'picture\.jpg'.*archive\.hidden"):
        keep(world, bob, picture("JPEG") + zipped("x.txt", b"also an archive"))
    for data in (SVG, b"<!doctype html><script>alert(1)</script>", picture("BMP")):
        with pytest.raises(NotAnImage):
            keep(world, bob, data)
    assert count(world) == 0
    for kind in KINDS:
        keep(world, bob, picture(kind))


def test_too_many_bytes_or_pixels_are_refused(world: World):
    bob = world.person("bob")
    with pytest.raises(ImageTooLarge):
        keep(world, bob, picture() + bytes(10 << 20))
    with pytest.raises(ImageTooLarge, match="30000 × 30000 pixels"):
        keep(world, bob, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30_000).to_bytes(4, "big") * 2)
    with pytest.raises(NotAnImage):
        keep(world, bob, SVG)
    assert count(world) == 0


# ---- when it goes


def objects(world: World) -> set[str]:
    return {found.key for found in world.site.blobs.iter_keys("sha256/")}


def run_later(world: World, after: timedelta) -> None:
    """Every hour would be the truth; a day between runs is what its clock takes without asking."""
    until = world.clock + after
    while world.clock < until:
        world.clock = min(world.clock + timedelta(days=1), until)
        collect(world.site, now=world.clock)


@pytest.fixture
def clocked(world: World) -> World:
    world.clock = utcnow()
    collect(world.site, now=world.clock)
    return world


def test_what_no_comment_names_goes_and_is_charged_no_more(clocked: World):
    bob = clocked.person("bob")
    repo, kept, dropped = clocked.repo("bob/river"), keep(clocked, bob), keep(clocked, bob, picture("GIF"))
    say(clocked, bob, repo, attachments.path_of(kept))
    assert len(objects(clocked)) == 2
    run_later(clocked, CLAIM_GRACE + 3 * CONDEMNED_GRACE)
    assert sees(clocked, ANONYMOUS, kept)
    assert not sees(clocked, bob, dropped)
    assert len(objects(clocked)) == 1
    assert clocked.site.db.read(find_quota, bob.account_id).usage.attachment_bytes == kept.size_bytes
    assert clocked.site.db.read(recount.find_differences) == []


def test_pictures_of_a_deleted_repository_go_with_its_files(clocked: World):
    ada, bob = clocked.person("ada"), clocked.person("bob")
    repo, made = clocked.repo("ada/river"), keep(clocked, bob)
    say(clocked, bob, repo, attachments.path_of(made))
    clocked.site.db.write(repos.delete_repository, ada, repo.kind, repo.name, now=clocked.clock)
    run_later(clocked, DELETED_GRACE - timedelta(hours=1))
    assert len(objects(clocked)) == 1
    run_later(clocked, timedelta(hours=2) + 3 * CONDEMNED_GRACE)
    assert objects(clocked) == set()
    assert count(clocked) == 0
    assert clocked.site.db.read(recount.find_differences) == []


def test_bytes_that_another_upload_has_stay_for_it(clocked: World):
    ada, bob = clocked.person("ada"), clocked.person("bob")
    repo, first, second = clocked.repo("ada/river"), keep(clocked, ada), keep(clocked, bob)
    say(clocked, ada, repo, attachments.path_of(first))
    run_later(clocked, CLAIM_GRACE + 3 * CONDEMNED_GRACE)
    assert sees(clocked, ANONYMOUS, first)
    assert not sees(clocked, bob, second)
    _, source, _ = attachments.open_attachment(clocked.site, ada, attachments.path_of(first).rpartition("/")[2])
    assert source.size_bytes == first.size_bytes
    assert len(objects(clocked)) == 1


# ---- over HTTP


def post(app: LiveApp, user: str | None, data: bytes, *, scope: str = "write", **headers: str) -> httpx.Response:
    if user is not None:
        headers["Authorization"] = f"Bearer {app.token(user, scope)}"
    return httpx.post(f"{app.url}/uploads", content=data, headers=headers, timeout=30)


def test_the_clients_call_and_what_a_browser_gets(live_app: LiveApp):
    hf, data = live_app.hf("ada"), picture("WEBP")
    repo = hf.create_repo("ada/with-pictures", exist_ok=True).repo_id
    answer = post(live_app, "ada", data, **{"Content-Type": "image/svg+xml"})  # what is declared is not asked
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    url = answer.text
    assert url.startswith(f"{live_app.url}/uploads/")
    assert url.endswith(".webp")
    hidden, absent = httpx.get(url), httpx.get(f"{live_app.url}/uploads/{'0' * 32}.webp")
    assert hidden.status_code == absent.status_code == 404
    talk = hf.create_discussion(repo, "With a picture", description=f"![a curve]({url})")
    shown = httpx.get(url)
    assert shown.content == data
    assert shown.headers["content-type"] == "image/webp"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in shown.headers["content-security-policy"]
    assert shown.headers["content-disposition"].startswith("inline;")
    assert shown.headers["cache-control"] == "public, max-age=86400, immutable"
    assert httpx.get(url, headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
    assert httpx.get(url, headers={"Range": "bytes=0-3"}).content == b"RIFF"
    page = httpx.get(f"{live_app.url}/{repo}/discussions/{talk.num}").text
    assert f'src="{httpx.URL(url).path}"' in page  # by whatever name the page was opened


def test_in_a_private_repository_caches_of_others_keep_nothing(live_app: LiveApp):
    hf = live_app.hf("ada")
    repo = hf.create_repo("ada/private-pictures", private=True, exist_ok=True).repo_id
    url = post(live_app, "ada", picture()).text
    hf.create_discussion(repo, "With a picture", description=f"![x]({url})")
    own = httpx.get(url, headers={"Authorization": f"Bearer {live_app.token('ada')}"})
    assert (own.status_code, own.headers["cache-control"]) == (200, "private, max-age=86400, immutable")
    assert "Cookie" in own.headers["vary"]
    assert httpx.get(url).status_code == 404
    assert httpx.get(url, headers={"Authorization": f"Bearer {live_app.token('bob')}"}).status_code == 404


def test_what_is_refused(live_app: LiveApp):
    assert post(live_app, None, picture()).status_code == 401
    assert post(live_app, "ada", picture(), scope="read").status_code == 403
    for data in (b"", SVG, b"<html>", picture()[:10]):
        answer = post(live_app, "ada", data)
        assert answer.status_code == 422
        assert "no PNG, JPEG, GIF or WebP" in answer.json()["error"]
    too_large = bytes((10 << 20) + 1)
    assert post(live_app, "ada", too_large).status_code == 413

    def in_chunks():
        yield picture()
        yield too_large

    headers = {"Authorization": f"Bearer {live_app.token('ada')}"}
    assert httpx.post(f"{live_app.url}/uploads", content=in_chunks(), headers=headers, timeout=30).status_code == 413


def test_bytes_that_are_a_picture_and_a_page_are_served_as_a_picture(live_app: LiveApp):
    both = picture("GIF") + b"<html><script>alert(1)</script>"
    url = post(live_app, "ada", both).text
    answer = httpx.get(url, headers={"Authorization": f"Bearer {live_app.token('ada')}"})
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


# ---- by forms without a script


@pytest.fixture(scope="module")
def bob(live_app: LiveApp) -> Browser:
    return Browser(live_app.url, "bob")


def send_form(browser: Browser, path: str, files: list[tuple[str, bytes]], status: int = 200, **values: str) -> str:
    word = browser.page.partition('name="csrf" value="')[2].partition('"')[0]
    sent = [("pictures", (name, data, "application/octet-stream")) for name, data in files]
    headers = {"Origin": str(browser.http.base_url).rstrip("/")}
    answer = browser.http.post(path, data={"csrf": word, **values}, files=sent, headers=headers)
    assert answer.status_code == status, (answer.status_code, answer.text[:2000])
    browser.page, browser.where = answer.text, answer.url.path
    return browser.page


def test_a_comment_by_form_brings_its_pictures(live_app: LiveApp, bob: Browser):
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    at = f"/{repo}/discussions"
    bob.get(f"{at}/new")
    send_form(bob, f"{at}/new", [("损失 [曲线].png", picture())], title="A picture", text="Look:")
    assert 'alt="损失 曲线"' in bob.page
    assert bob.page.count('src="/uploads/') == 1
    where = bob.where
    send_form(bob, where, [("a.gif", picture("GIF")), ("b.jpg", picture("JPEG"))], act="comment", text="")
    assert bob.page.count('src="/uploads/') == 3
    send_form(bob, where, [], act="comment", text="no picture at all")
    assert "no picture at all" in bob.text


def test_a_refused_picture_is_told_beside_the_form_and_nothing_typed_is_lost(live_app: LiveApp, bob: Browser):
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    at = f"/{repo}/discussions"
    bob.get(f"{at}/new")
    files = [("good.png", picture()), ("evil.svg", SVG)]
    send_form(bob, f"{at}/new", files, 422, title="A picture", text="kept while wrong")
    assert "kept while wrong" in bob.page
    assert "![good](/uploads/" in bob.page  # the good one need not be sent again
    assert "no PNG, JPEG, GIF or WebP" in bob.text
    send_form(bob, f"{at}/new", [], title="A picture", text="said")
    where = bob.where
    send_form(bob, where, [("empty.png", b"")], 422, act="comment", text="still here")
    form = bob.page.partition('id="end"')[2]
    assert 'role="alert"' in form
    assert "still here" in form


def test_more_pictures_than_a_form_brings_are_refused_and_nothing_typed_is_lost(live_app: LiveApp, bob: Browser):
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    at = f"/{repo}/discussions/new"
    bob.get(at)
    files = [(f"{n}.png", picture()) for n in range(11)]
    send_form(bob, at, files, 422, title="Eleven pictures", text="kept while wrong")
    assert "These are 11 pictures, and at most 10 are taken." in bob.text
    assert "kept while wrong" in bob.page
    assert "Eleven pictures" in bob.page
    assert "/uploads/" not in bob.page.partition("<textarea")[2].partition("</textarea")[0]
    send_form(bob, at, files[:10], title="Ten pictures", text="said")
    assert bob.page.count('src="/uploads/') == 10
    send_form(bob, bob.where, files, 422, act="comment", text="still here")
    form = bob.page.partition('id="end"')[2]
    assert "These are 11 pictures" in form.partition("<textarea")[0]
    assert "still here" in form
    bob.http.headers["Accept-Language"] = "zh-CN"
    try:
        send_form(bob, bob.where, files, 422, act="comment", text="还在")
        assert "图片太多" in bob.page
        assert "还在" in bob.page
    finally:
        bob.http.headers["Accept-Language"] = "en"


@pytest.mark.parametrize(("n_files", "status", "said"), [(1, 413, "too large for a comment"), (12, 422, "12 pictures")])
def test_a_form_that_is_too_large_as_a_whole_loses_nothing_typed(
    live_app: LiveApp, bob: Browser, n_files: int, status: int, said: str
):
    """Told by its length before anything of it is kept; read on for what was typed, whatever stands behind the files."""
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    at = f"/{repo}/discussions/new"
    bob.get(at)
    files = [(f"{n}.png", bytes(101_000_000 // n_files)) for n in range(n_files)]
    send_form(bob, at, files, status, title="Very large", text="typed for an hour")
    assert said in bob.page
    assert "typed for an hour" in bob.page
    assert "Very large" in bob.page
    send_form(bob, at, [], title="Not large any more", text="said")
    send_form(bob, bob.where, files, status, act="comment", text="typed for another")
    assert "typed for another" in bob.page
    send_form(bob, bob.where, [], act="comment", text="and said")
    assert "and said" in bob.text


def test_more_pictures_than_a_comment_shows_are_told_where_it_is_written(live_app: LiveApp, bob: Browser):
    hf = live_app.hf("ada")
    repo = hf.create_repo("ada/by-form", exist_ok=True).repo_id
    links = [f"![](/uploads/{n:032x}.png)" for n in range(attachments.MAX_USES + 1)]
    at = f"/{repo}/discussions/new"
    bob.get(at)
    send_form(bob, at, [], 422, title="Many pictures", text="\n".join(links))
    assert "These are 201 pictures, and at most 200 are taken." in bob.text
    assert links[-1] in bob.page
    send_form(bob, at, [("one.png", picture())], 422, title="Many pictures", text="\n".join(links[:200]))
    assert "![one](/uploads/" in bob.page  # kept, and named in what can be sent again
    send_form(bob, at, [], title="Many pictures", text="\n".join(links[:200] * 2))
    send_form(bob, bob.where, [], 422, act="comment", text=" ".join(links))
    assert links[-1] in bob.page
    with pytest.raises(HfHubHTTPError, match="at most 200"):
        hf.create_discussion(repo, "Many pictures", description=" ".join(links))
    with pytest.raises(HfHubHTTPError, match="at most 200"):
        hf.create_pull_request(repo, "Many pictures", description=" ".join(links))


@pytest.mark.parametrize("head", ["", '; filename=""'])
def test_a_form_of_many_empty_parts_is_refused_as_a_page(live_app: LiveApp, bob: Browser, head: str):
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    bob.get(f"/{repo}/discussions/new")
    sent = f'--x\r\nContent-Disposition: form-data; name="a"{head}\r\n\r\n\r\n' * 20_000 + "--x--\r\n"
    headers = {"Origin": live_app.url, "Content-Type": "multipart/form-data; boundary=x", "Accept": "text/html"}
    answer = bob.http.post(f"/{repo}/discussions/new", content=sent.encode(), headers=headers)
    assert answer.status_code == 413
    assert "form_too_large" in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_another_sites_page_sends_no_picture(live_app: LiveApp, bob: Browser):
    repo = live_app.hf("ada").create_repo("ada/by-form", exist_ok=True).repo_id
    bob.get(f"/{repo}/discussions/new")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        answer = bob.http.post("/uploads", content=picture(), headers=headers)
        assert answer.status_code == 403
    form = {"title": "A picture", "text": "x", "csrf": "wrong"}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": live_app.url}):
        files = {"pictures": ("a.png", picture())}
        answer = bob.http.post(f"/{repo}/discussions/new", data=form, files=files, headers=headers)
        assert answer.status_code == 403


def test_a_private_repository_takes_no_form_of_others(live_app: LiveApp, bob: Browser):
    repo = live_app.hf("ada").create_repo("ada/closed-talk", private=True, exist_ok=True).repo_id
    bob.get("/")
    send_form(bob, f"/{repo}/discussions/new", [("a.png", picture())], 404, title="A picture", text="x")
