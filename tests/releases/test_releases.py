"""Signed releases: made and checked by the command, the page and the API, in the format that model-signing itself wrote."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.releases import bundle
from headwater.hub.releases.bundle import BadRelease, BadSigningKey
from tests.conftest import PASSWORD, LiveApp, clean_env

# Made by model_signing 1.1.1 (`model_signing sign key model`) over a.txt ("hi\n") and sub/w.txt ("ho\n"), with a key made for this.
THEIRS = Path(__file__).parent / "model.sig.json"
THEIR_KEY = Path(__file__).parent / "key.pub"
THEIR_FILES = {
    "a.txt": "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4",
    "sub/w.txt": "56cc5eec55dc58c7043ac724f962e41892ef591552dd023a9b81f95958bfff63",
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; its public half beside it."""
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)], check=True)
    subprocess.run(
        ["openssl", "ec", "-in", str(path), "-pubout", "-out", str(path.with_suffix(".pub"))],
        check=True,
        capture_output=True,
    )
    return path


def test_what_model_signing_has_made_is_read() -> None:
    parsed = bundle.parse(THEIRS.read_bytes())
    bundle.check_signature(parsed, bundle.load_public_key(THEIR_KEY.read_text()))
    bundle.compare(parsed.statement, {**parsed.statement.files, ".gitattributes": "00" * 32})
    assert parsed.statement.files["a.txt"] == THEIR_FILES["a.txt"]
    assert parsed.statement.files == THEIR_FILES


def test_a_signature_holds_for_its_files_alone(key: Path) -> None:
    private = bundle.load_private_key(key.read_bytes())
    files = {"b": "11" * 32, "a": "22" * 32, ".gitattributes": "33" * 32, "d/c": "44" * 32}
    parsed = bundle.parse(bundle.sign("tiny", files, private))
    assert list(parsed.statement.files) == ["a", "b", "d/c"]
    bundle.check_signature(parsed, private.public_key())
    bundle.compare(parsed.statement, files)
    for wrong, why in (
        ({**files, "a": "55" * 32}, "other bytes"),
        ({**files, "new": "55" * 32}, "does not name"),
        ({"a": "22" * 32, "b": "11" * 32}, "does not have"),
    ):
        with pytest.raises(BadRelease, match=why):
            bundle.compare(parsed.statement, wrong)


@pytest.mark.parametrize("ignored", [".", "./", "/", "", "evil.py", "d", "model.sig/evil.py"])
def test_what_a_signature_leaves_out_is_not_its_own_choice(
    ignored: str, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    private = bundle.load_private_key(key.read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(bundle, "IGNORED", (*bundle.IGNORED, ignored, "evil.py", "d", "model.sig"))
        made = bundle.sign("tiny", {"a": "22" * 32, ".gitattributes": "33" * 32}, private)
    statement = bundle.parse(made).statement
    assert ignored in statement.ignored
    bundle.compare(statement, {"a": "22" * 32, ".gitattributes": "33" * 32, "model.sig": "44" * 32})
    for path in ("evil.py", "d/evil.py", "model.sig/evil.py"):
        with pytest.raises(BadRelease, match="does not name"):
            bundle.compare(statement, {"a": "22" * 32, path: "55" * 32})


def test_a_signature_over_nothing_is_refused(key: Path) -> None:
    parsed = bundle.parse(bundle.sign("tiny", {}, bundle.load_private_key(key.read_bytes())))
    with pytest.raises(BadRelease, match="names no file"):
        bundle.compare(parsed.statement, {".gitattributes": "33" * 32})


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    told = json.loads(data)
    change(told)
    return json.dumps(told).encode()


def restated(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    def act(told: dict[str, Any]) -> None:
        statement = json.loads(base64.b64decode(told["dsseEnvelope"]["payload"]))
        change(statement)
        told["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return changed(data, act)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"[]",
        lambda data: b"{" * 100_000,
        lambda data: b"x" * (9 << 20),
        lambda data: changed(data, lambda told: told.update(mediaType="x")),
        lambda data: changed(data, lambda told: told["dsseEnvelope"].update(payload="*")),
        lambda data: changed(data, lambda told: told["dsseEnvelope"].update(signatures=[])),
        lambda data: changed(data, lambda told: told["dsseEnvelope"].update(payloadType="x")),
        lambda data: restated(data, lambda told: told.update(predicateType="x")),
        lambda data: restated(data, lambda told: told.update(subject=[])),
        lambda data: restated(data, lambda told: told["predicate"]["serialization"].update(method="shards")),
        lambda data: restated(
            data, lambda told: told["predicate"]["resources"].append(told["predicate"]["resources"][0])
        ),
        lambda data: restated(data, lambda told: told["predicate"]["resources"][0].update(digest="00")),
        lambda data: restated(data, lambda told: told["predicate"]["resources"].pop()),
        lambda data: restated(data, lambda told: told["predicate"].pop("resources")),
    ],
)
def test_what_is_no_bundle_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadRelease):
        bundle.parse(spoil(THEIRS.read_bytes()))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_refused(data: bytes) -> None:
    with pytest.raises(BadRelease):
        bundle.parse(data)


def test_another_key_or_another_statement_is_not_what_was_signed(key: Path) -> None:
    data = THEIRS.read_bytes()
    private = bundle.load_private_key(key.read_bytes())
    with pytest.raises(BadRelease, match="was made with the key"):
        bundle.check_signature(bundle.parse(data), private.public_key())
    unhinted = changed(data, lambda told: told["verificationMaterial"].update(publicKey={}))
    with pytest.raises(BadRelease, match="not by this key"):
        bundle.check_signature(bundle.parse(unhinted), private.public_key())
    renamed = restated(data, lambda told: told["predicate"]["resources"][0].update(name="b.txt"))
    with pytest.raises(BadRelease, match="not by this key"):
        bundle.check_signature(bundle.parse(renamed), bundle.load_public_key(THEIR_KEY.read_text()))


def test_what_is_no_key_is_refused(key: Path) -> None:
    for text, why in (("", "no public key"), (key.read_text(), "private key"), ("x" * 5000, "too long")):
        with pytest.raises(BadSigningKey, match=why):
            bundle.load_public_key(text)
    from cryptography.hazmat.primitives.asymmetric import ed25519

    with pytest.raises(BadSigningKey, match="curves"):
        bundle.load_public_key(bundle.public_pem(ed25519.Ed25519PrivateKey.generate().public_key()))


# ---- on a real server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    app = LiveApp(tmp_path_factory.mktemp("releases") / "data", options={"workers": 1})
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/tiny")
        hf.upload_file(path_or_fileobj=b"one", path_in_repo="config/a.txt", repo_id="ada/tiny")
        hf.upload_file(path_or_fileobj=os.urandom(1_500_000), path_in_repo="weights.bin", repo_id="ada/tiny")
        hf.create_tag("ada/tiny", tag="v1")
        yield app
    finally:
        app.stop()
    app.check_clean()


def release(site: LiveApp, *arguments: str, user: str = "ada", code: int = 0) -> Any:
    command = [sys.executable, "-m", "headwater", "release", *arguments, "--url", site.url, "--json"]
    env = clean_env() | {"HF_TOKEN": site.token(user)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stderr + done.stdout
    return orjson.loads(done.stdout if code == 0 else done.stderr)


def test_a_release_is_signed_and_checked_by_the_command(site: LiveApp, key: Path, tmp_path: Path) -> None:
    public = key.with_suffix(".pub")
    made = release(
        site, "sign", "ada/tiny", "--revision", "v1", "--key", str(key), "--output", str(tmp_path / "model.sig")
    )
    assert made["files"] == 2
    assert release(site, "verify", "ada/tiny", "--revision", "v1", "--key", str(public))["commit"] == made["commit"]
    folder = site.hf("ada").snapshot_download("ada/tiny", revision="v1", local_dir=tmp_path / "down")
    assert release(site, "verify", "ada/tiny", "--revision", "v1", "--key", str(public), "--folder", str(folder))[
        "folder"
    ]
    (tmp_path / "down" / "config" / "a.txt").write_text("two")
    told = release(
        site, "verify", "ada/tiny", "--revision", "v1", "--key", str(public), "--folder", str(folder), code=1
    )
    assert told["code"] == "bad_release_signature"
    site.hf("ada").upload_file(path_or_fileobj=b"later", path_in_repo="b.txt", repo_id="ada/tiny")
    assert release(site, "verify", "ada/tiny", "--key", str(public), code=1)["code"] == "release_not_found"
    listed = httpx.get(f"{site.url}/api/v1/releases/models/ada/tiny").json()
    assert [one["commit"] for one in listed] == [made["commit"]]
    kept = httpx.get(f"{site.url}/api/v1/releases/models/ada/tiny/{listed[0]['id']}/bundle")
    assert kept.content == (tmp_path / "model.sig").read_bytes()
    assert "attachment" in kept.headers["content-disposition"]


def test_model_signing_itself_agrees(site: LiveApp, key: Path, tmp_path: Path) -> None:
    program = shutil.which("model_signing") or os.environ.get("MODEL_SIGNING")
    if program is None:
        pytest.skip("model_signing is not installed")
    signature = tmp_path / "model.sig"
    release(site, "sign", "ada/tiny", "--revision", "v1", "--key", str(key), "--no-upload", "--output", str(signature))
    folder = site.hf("ada").snapshot_download("ada/tiny", revision="v1", local_dir=tmp_path / "down")
    shutil.rmtree(tmp_path / "down" / ".cache")
    command = [
        program,
        "verify",
        "key",
        str(folder),
        "--signature",
        str(signature),
        "--public_key",
        str(key.with_suffix(".pub")),
    ]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (tmp_path / "down" / "weights.bin").write_bytes(b"else")
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_only_who_may_write_brings_a_signature_and_only_of_these_files(site: LiveApp, key: Path) -> None:
    told = release(site, "sign", "ada/tiny", "--revision", "v1", "--key", str(key), user="bob", code=1)
    assert told["code"] == "site_refused"
    url, headers = f"{site.url}/api/v1/releases/models/ada/tiny", {"Authorization": f"Bearer {site.token('ada')}"}
    foreign = {"bundle": THEIRS.read_text(), "public_key": THEIR_KEY.read_text()}
    answer = httpx.post(url, json=foreign, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_release_signature")
    assert httpx.post(url, json={"bundle": 5}, headers=headers).status_code == 422
    assert httpx.post(url, json=foreign).status_code in (401, 403, 404)
    for path in ("/999/bundle", "/x/bundle"):
        assert httpx.get(url + path).status_code == 404
    site.hf("ada").create_repo("ada/closed", private=True)
    assert httpx.get(f"{site.url}/api/v1/releases/models/ada/closed").status_code in (401, 404)


def test_a_page_takes_and_shows_it(site: LiveApp, key: Path, tmp_path: Path) -> None:
    hf = site.hf("ada")
    hf.create_repo("ada/paged")
    hf.upload_file(path_or_fileobj=b"one", path_in_repo="a.txt", repo_id="ada/paged")
    signature = tmp_path / "model.sig"
    release(site, "sign", "ada/paged", "--key", str(key), "--no-upload", "--output", str(signature))
    with httpx.Client(base_url=site.url, timeout=60) as browser:
        browser.post("/login", data={"name": "ada", "password": PASSWORD, "csrf": ""})
        csrf = re.search(r'name="csrf" value="([^"]+)"', browser.get("/ada/paged/releases").text)
        assert csrf is not None
        sent = {"csrf": csrf[1], "bundle": signature.read_text(), "public_key": THEIR_KEY.read_text(), "revision": ""}
        refused = browser.post("/ada/paged/releases", data=sent, headers={"Origin": site.url})
        assert refused.status_code == 422
        assert "was made with the key" in refused.text
        sent["public_key"] = key.with_suffix(".pub").read_text()
        assert browser.post("/ada/paged/releases", data=sent, headers={"Origin": site.url}).status_code == 303
    for language, words in (("en", "exactly as signed"), ("zh-CN", "与签名完全一致")):
        page = httpx.get(f"{site.url}/ada/paged/releases", headers={"Accept-Language": language}).text
        assert words in page
        assert "<form" not in page.split("<main")[1].split("</main>")[0]
