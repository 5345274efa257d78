"""Files by browser: dropped, sent in parts, interrupted, taken up again after a reload, committed once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.hub.uploads import BadUpload, FormTooLarge, forms
from tests.conftest import wait_for
from tests.pages.conftest import MODEL, Pages

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

Browse = Callable[..., "BrowserContext"]


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found
    return found[1]


@pytest.fixture
def target(pages: Pages) -> Iterator[str]:
    """A repository of this test's own."""
    name = f"ada/up-{hashlib.sha1(str(id(object())).encode()).hexdigest()[:10]}"
    pages.app.hf("ada").create_repo(name)
    yield name
    pages.app.hf("ada").delete_repo(name)


def body(n: int, seed: int = 1) -> bytes:
    """Bytes that no part repeats."""
    block = b"".join(hashlib.sha256(f"{seed}:{i}".encode()).digest() for i in range(4096))
    return (block * (n // len(block) + 1))[:n]


def download(pages: Pages, name: str, path: str) -> bytes:
    with pages.client("ada") as client:
        answer = client.get(f"/{name}/resolve/main/{path}", follow_redirects=True)
        assert answer.status_code == 200, answer.text[:200]
        return answer.content


# ---- the protocol


def test_parts_are_appended_resumed_and_hashed_by_the_server(pages: Pages, target: str) -> None:
    data = body(700_000)
    with pages.client("ada") as client:
        word = csrf_of(client.get(f"/{target}/upload/main").text)
        headers = {"X-CSRF-Token": word}
        announced = {
            "files": [{"path": "a/b.bin", "size": len(data), "stamp": 7}, {"path": "empty.txt", "size": 0, "stamp": 1}]
        }
        first = client.post(f"/{target}/upload-session", json=announced, headers=headers).json()["files"]
        assert [each["received"] for each in first] == [0, 0]
        address = f"/-/uploads/{first[0]['id']}"
        assert client.put(f"{address}?offset=0", content=data[:300_000], headers=headers).json()["received"] == 300_000
        late = client.put(f"{address}?offset=10", content=b"x", headers=headers)
        assert (late.status_code, late.headers["upload-offset"]) == (409, "300000")
        long = client.put(f"{address}?offset=300000", content=data, headers=headers)
        assert (long.status_code, long.json()["code"]) == (400, "part_too_long")
        # The same file announced again is taken up; a changed one (another stamp) begins anew.
        again = client.post(f"/{target}/upload-session", json=announced, headers=headers).json()["files"]
        assert (again[0]["id"], again[0]["received"]) == (first[0]["id"], 300_000)
        early = client.post(
            f"/{target}/upload-commit/main/", json={"ids": [first[0]["id"]], "title": "x"}, headers=headers
        )
        assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
        done = client.put(f"{address}?offset=300000", content=data[300_000:], headers=headers).json()
        assert (done["complete"], done["sha256"]) == (True, hashlib.sha256(data).hexdigest())
        assert client.put(f"/-/uploads/{first[1]['id']}?offset=0", content=b"", headers=headers).json()["complete"]
        assert "not whole" not in client.get(f"/{target}/upload/main").text
        ids = [each["id"] for each in first]
        made = client.post(
            f"/{target}/upload-commit/main/", json={"ids": ids, "title": "Bring them"}, headers=headers
        ).json()
        assert made["url"] == f"/{target}/tree/main"
        assert client.get(address).status_code == 404
        assert "Bring them" in client.get(f"/{target}/commits/main").text
    assert download(pages, target, "a/b.bin") == data
    assert download(pages, target, "empty.txt") == b""


def test_a_broken_connection_keeps_what_arrived(pages: Pages, target: str) -> None:
    import socket
    from urllib.parse import urlsplit

    data = body(2_000_000, 2)
    with pages.client("ada") as client:
        word = csrf_of(client.get(f"/{target}/upload/main").text)
        headers = {"X-CSRF-Token": word}
        files = {"files": [{"path": "w.bin", "size": len(data), "stamp": 0}]}
        upload = client.post(f"/{target}/upload-session", json=files, headers=headers).json()["files"][0]["id"]
        at = urlsplit(pages.url)
        with socket.create_connection((at.hostname, at.port)) as sock:
            head = (
                f"PUT /-/uploads/{upload}?offset=0 HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {len(data)}\r\n"
                f"Cookie: hw_session={pages.cookies['ada']}\r\nX-CSRF-Token: {word}\r\n\r\n"
            )
            sock.sendall(head.encode() + data[:900_000])
        address = f"/-/uploads/{upload}"
        wait_for(lambda: client.get(address).json()["received"] == 900_000, what="what arrived")

        def send_rest() -> bool:
            answer = client.put(f"{address}?offset=900000", content=data[900_000:], headers=headers)
            return answer.status_code == 200 and answer.json()["sha256"] == hashlib.sha256(data).hexdigest()

        wait_for(send_rest, what="the rest")
        client.post(f"/{target}/upload-discard", json={"ids": [upload]}, headers=headers)
        assert client.get(address).status_code == 404


def test_uploads_belong_to_who_began_them(pages: Pages, target: str) -> None:
    with pages.client("ada") as ada, pages.client("bob") as bob, pages.client() as stranger:
        word = csrf_of(ada.get(f"/{target}/upload/main").text)
        files = {"files": [{"path": "x.bin", "size": 5, "stamp": 0}]}
        upload = ada.post(f"/{target}/upload-session", json=files, headers={"X-CSRF-Token": word}).json()["files"][0][
            "id"
        ]
        assert bob.get(f"/-/uploads/{upload}").status_code == 404
        assert stranger.get(f"/-/uploads/{upload}").status_code in (401, 404)
        assert (
            ada.put(f"/-/uploads/{upload}?offset=0", content=b"12345").status_code == 403
        )  # without the session's word
        assert stranger.post(f"/{target}/upload-session", json=files).status_code == 401
        forged = {"X-CSRF-Token": word, "Origin": "http://evil.example"}
        assert ada.post(f"/{target}/upload-session", json=files, headers=forged).status_code == 403
        bobs_word = csrf_of(bob.get(f"/{MODEL}/upload/main").text)
        body_of_bob = {"ids": [upload], "title": "x"}
        stolen = bob.post(f"/{target}/upload-commit/main/", json=body_of_bob, headers={"X-CSRF-Token": bobs_word})
        assert stolen.status_code in (403, 404)


@pytest.mark.parametrize(
    "files",
    [
        [{"path": "../x", "size": 1}],
        [{"path": "a//b", "size": 1}],
        [{"path": ".git/config", "size": 1}],
        [{"path": "x", "size": -1}],
        [{"path": "x", "size": 1}, {"path": "x", "size": 2}],
        [{"path": "x", "size": "1"}],
        ["x"],
        None,
    ],
)
def test_a_list_that_cannot_be_taken_begins_nothing(pages: Pages, target: str, files: Any) -> None:
    with pages.client("ada") as client:
        word = csrf_of(client.get(f"/{target}/upload/main").text)
        answer = client.post(f"/{target}/upload-session", json={"files": files}, headers={"X-CSRF-Token": word})
        assert answer.status_code == 400
        assert answer.json()["code"] in ("bad_path", "bad_upload")
        assert "not whole" not in client.get(f"/{target}/upload/main").text


def test_a_reader_may_propose_but_not_write(pages: Pages) -> None:
    with pages.client("bob") as bob:
        html = bob.get(f"/{MODEL}/upload/main").text
        assert "proposed as a pull request" in html
        headers = {"X-CSRF-Token": csrf_of(html)}
        files = {"files": [{"path": "proposal.txt", "size": 2, "stamp": 3}]}
        upload = bob.post(f"/{MODEL}/upload-session", json=files, headers=headers).json()["files"][0]["id"]
        assert bob.put(f"/-/uploads/{upload}?offset=0", content=b"ok", headers=headers).json()["complete"]
        commit = {"ids": [upload], "title": "Propose it"}
        assert bob.post(f"/{MODEL}/upload-commit/main/", json=commit, headers=headers).status_code == 403
        made = bob.post(f"/{MODEL}/upload-commit/main/", json={**commit, "as": "pull"}, headers=headers).json()
        assert re.fullmatch(rf"/{MODEL}/discussions/\d+", made["url"])


# ---- without a script


def test_the_plain_form_makes_one_commit(pages: Pages, target: str) -> None:
    data = body(3_000_000, 4)
    with pages.client("ada") as client:
        word = csrf_of(client.get(f"/{target}/upload/main/in/here").text)
        answer = client.post(
            f"/{target}/upload/main/in/here",
            data={"csrf": word, "title": "By a plain form", "as": "commit"},
            files=[("files", ("one.bin", data)), ("files", ("说明.txt", "你好".encode()))],
            headers={"Origin": pages.url},
        )
        assert answer.status_code == 303, answer.text[:1000]
        assert answer.headers["location"] == f"/{target}/tree/main/in/here"
        page = client.get(answer.headers["location"]).text
        assert "The files were committed." in page
        assert "By a plain form" in page
        forged = client.post(
            f"/{target}/upload/main/", data={"csrf": "x"}, files=[("files", ("a", b"b"))], headers={"Origin": pages.url}
        )
        assert forged.status_code == 403
        empty = client.post(
            f"/{target}/upload/main/", data={"csrf": word}, files=[("files", ("", b""))], headers={"Origin": pages.url}
        )
        assert empty.status_code == 400
        assert "no file was chosen" in empty.text
    assert download(pages, target, "in/here/one.bin") == data
    assert download(pages, target, "in/here/%E8%AF%B4%E6%98%8E.txt") == "你好".encode()


class Chunks:
    """A body that comes in pieces of the given sizes."""

    size_bytes = None

    def __init__(self, data: bytes, steps: list[int]) -> None:
        self._data, self._steps = memoryview(data), steps

    @property
    def n_left(self) -> int:
        return len(self._data)

    def read_into(self, window: memoryview) -> int:
        step = self._steps.pop(0) if self._steps else len(window)
        got = min(step, len(window), len(self._data))
        window[:got] = self._data[:got]
        self._data = self._data[got:]
        return got


@settings(deadline=None, max_examples=60)
@given(
    texts=st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), st.text(max_size=30), max_size=3),
    files=st.lists(st.binary(max_size=3000), max_size=3),
    steps=st.lists(st.integers(1, 200), max_size=40),
    cut=st.integers(0, 60),
)
def test_any_form_is_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str], files: list[bytes], steps: list[int], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("form")
    boundary = b"----x7MA4YWxkTrZu0gW"
    out = bytearray()
    for name, text in texts.items():
        out += b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
            boundary,
            name.encode(),
            text.encode(),
        )
    for at, data in enumerate(files):
        out += b'--%b\r\nContent-Disposition: form-data; name="files"; filename="f%d"\r\n\r\n%b\r\n' % (
            boundary,
            at,
            data,
        )
    out += b"--%b--\r\n" % boundary
    sent = bytes(out[: len(out) - cut]) if cut else bytes(out)
    paths = iter(range(1000))

    def new_file() -> Path:
        return folder / str(next(paths))

    kind = f"multipart/form-data; boundary={boundary.decode()}"
    try:
        found = forms.read_form(Chunks(sent, list(steps)), kind, new_file)  # type: ignore[arg-type]
    except BadUpload:
        assert cut > 2
        assert not list(folder.iterdir())
        return
    assert found.texts == texts
    assert [file.path.read_bytes() for file in found.files] == files
    assert [file.sha256 for file in found.files] == [hashlib.sha256(data).hexdigest() for data in files]


def parts(n: int, head: bytes) -> bytes:
    return (b'--x\r\nContent-Disposition: form-data; name="a"%b\r\n\r\n\r\n' % head) * n + b"--x--\r\n"


@pytest.mark.parametrize("head", [b"", b'; filename=""', b'; filename="f"'])
def test_every_part_of_a_form_counts_and_the_rest_is_not_read(tmp_path: Path, head: bytes) -> None:
    paths = (tmp_path / str(n) for n in range(forms.MAX_PARTS))
    kind = "multipart/form-data; boundary=x"
    forms.read_form(Chunks(parts(forms.MAX_PARTS, head), []), kind, lambda: next(paths)).discard()  # type: ignore[arg-type]
    paths = (tmp_path / str(n) for n in range(forms.MAX_PARTS))
    sent = Chunks(parts(30_000, head), [])
    with pytest.raises(FormTooLarge):
        forms.read_form(sent, kind, lambda: next(paths))  # type: ignore[arg-type]
    assert sent.n_left > 1_000_000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"\r\nX-%d: %b" % (n, b"v" * 4000) for n in range(5)),
        b"\r\n" + b"X" * 20_000 + b": v",
        b"\r\nX: " + b"v" * 20_000,
    ],
)
def test_the_headers_of_a_part_are_bounded_together(tmp_path: Path, head: bytes) -> None:
    kind = "multipart/form-data; boundary=x"
    with pytest.raises((FormTooLarge, BadUpload)):  # the parser has bounds of its own for one line
        forms.read_form(Chunks(parts(1, head), []), kind, lambda: tmp_path / "f")  # type: ignore[arg-type]


# ---- in a real browser


DROP = """async ({files, target}) => {
  // What a drop of a folder is to a page, as far as a page may make one: entries are read through the same calls.
  const entry = (path, file) => ({isFile: true, isDirectory: false, name: path.split('/').at(-1), fullPath: '/' + path, file: (done) => done(file)});
  const root = {isFile: false, isDirectory: true, name: 'outer', fullPath: '/outer', createReader: () => { let given = false; return {readEntries: (done) => { done(given ? [] : made); given = true; }}; }};
  const made = files.map(({path, size, seed}) => { const bytes = new Uint8Array(size); for (let i = 0; i < size; i += 4096) { bytes[i] = (i / 4096 + seed) % 256; bytes[i + 1] = (i >> 20) % 256; } return entry('outer/' + path, new File([bytes], path.split('/').at(-1), {lastModified: 1700000000000})); });
  const event = new Event('drop', {bubbles: true, cancelable: true});
  event.dataTransfer = {types: ['Files'], items: [{kind: 'file', webkitGetAsEntry: () => root, getAsFile: () => null}], dropEffect: 'none'};
  document.querySelector(target).dispatchEvent(event);
}"""
FOLDER = [
    {"path": "README.md", "size": 1000, "seed": 1},
    {"path": "sub/weights.bin", "size": 26_000_000, "seed": 2},
    {"path": "sub/deeper/notes.txt", "size": 0, "seed": 3},
]


def expected(size: int, seed: int) -> bytes:
    data = bytearray(size)
    for i in range(0, size, 4096):
        data[i] = (i // 4096 + seed) % 256
        if i + 1 < size:
            data[i + 1] = (i >> 20) % 256
    return bytes(data)


def watched(page: Page, origin: str) -> list[str]:
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: problems.append(r.url) if not r.url.startswith((origin, "data:", "blob:")) else None)
    return problems


@pytest.mark.browser
def test_a_dropped_folder_survives_a_reload_and_a_broken_connection(pages: Pages, target: str, browse: Browse) -> None:
    page = browse("ada").new_page()
    problems = watched(page, pages.url)
    page.goto(f"{pages.url}/{target}/upload/main")
    page.evaluate(DROP, {"files": FOLDER, "target": "#drop"})
    page.get_by_text("3 files · 26 MB").wait_for()
    assert page.locator("#strip-name").inner_text() == "outer/"
    # The second part breaks, and the page is left: as when a laptop is closed.
    page.route("**/-/uploads/*?offset=8388608", lambda route: route.abort())
    page.get_by_role("button", name="Upload and commit").click()
    page.get_by_text("The connection broke").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute_all()
    page.get_by_text("not whole yet").wait_for()
    assert "sub/weights.bin" in page.locator("#waiting").inner_text()
    # Chosen again it goes on where it stopped; one more break on the way mends itself.
    broken = []

    def break_once(route: Any) -> None:
        if broken:
            route.continue_()
        else:
            broken.append(route.request.url)
            route.abort()

    page.route("**/-/uploads/*?offset=16777216", break_once)
    starts = []
    page.on("request", lambda r: starts.append(r.url) if r.method == "PUT" else None)
    page.evaluate(DROP, {"files": FOLDER, "target": "#drop"})
    page.get_by_label("What does this change?").fill("Bring a folder")
    page.get_by_role("button", name="Upload and commit").click()
    page.wait_for_url(f"{pages.url}/{target}/tree/main")
    assert broken
    assert not any(url.endswith("offset=0") and starts.count(url) > 1 for url in starts)
    assert any(url.endswith("offset=8388608") for url in starts)
    page.get_by_text("Bring a folder").first.wait_for()
    allowed = ("net::ERR_FAILED", "Failed to load resource")
    assert [each for each in problems if not each.startswith(allowed)] == []
    for file in FOLDER:
        assert download(pages, target, str(file["path"])) == expected(int(file["size"]), int(file["seed"])), file
    assert len(pages.app.hf("ada").list_repo_commits(target)) == 2


@pytest.mark.browser
def test_files_chosen_by_the_button(pages: Pages, target: str, browse: Browse, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("two")
    page = browse("ada", language="zh-CN", width=390).new_page()
    problems = watched(page, pages.url)
    page.goto(f"{pages.url}/{target}/upload/main/docs")
    page.locator("#f-files").set_input_files([tmp_path / "a.txt", tmp_path / "b.txt"])
    page.get_by_role("button", name="移除 docs/b.txt").click()
    page.get_by_role("button", name="上传并提交").click()
    page.wait_for_url(f"{pages.url}/{target}/tree/main/docs")
    page.get_by_text("上传 docs/a.txt").first.wait_for()
    assert problems == []
    assert download(pages, target, "docs/a.txt") == b"one"


@pytest.mark.browser
def test_without_javascript_the_same_form_works(pages: Pages, target: str, browse: Browse, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("plain")
    page = browse("ada", js=False).new_page()
    page.goto(f"{pages.url}/{target}/upload/main")
    page.locator("#f-files").set_input_files(tmp_path / "plain.txt")
    page.get_by_role("button", name="Upload and commit").click()
    page.wait_for_url(f"{pages.url}/{target}/tree/main")
    assert download(pages, target, "plain.txt") == b"plain"
