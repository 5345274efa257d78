"""Names and paths: what may be, and that nothing which passes can be taken for something else."""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.errors import BadName, BadPath
from headwater.hub.names import MAX_PATH_BYTES, check_name, check_path, check_ref, parse_repo_name

GOOD_PATHS = [
    "README.md",
    ".gitattributes",
    "a/b/c.safetensors",
    "模型/数据 集（一）.txt",
    "with space.txt",
    "100%.txt",
    "données.csv",
    "a..b",
    "…",
    "emoji 🙂.md",
    "git/x",
    "a.git",
    "CON",
    "aux.c",
    "end.",
    "end ",
    'a:b*?"<>|.txt',
]
BAD_PATHS = {
    "": "empty",
    "/a": "empty part",
    "a/": "empty part",
    "a//b": "empty part",
    ".": "not allowed",
    "../x": "not allowed",
    "a/./b": "not allowed",
    "a\\b": "backslash",
    "folder/..\\..\\file": "backslash",
    "%2e%2e/x": "once decoded",
    "%2E/x": "once decoded",
    "a%2fb": "once decoded",
    "a%00b": "once decoded",
    "．．/x": "once decoded",
    "a／b": "once decoded",
    "a\0b": "U\\+0000",
    "a\nb": "U\\+000A",
    "a\x7fb": "U\\+007F",
    "a\u200bb": "U\\+200B",
    "a\u202egpj.exe": "U\\+202E",
    "\ufeffa": "U\\+FEFF",
    "a∕b": "U\\+2215",
    ".git": "reserved",
    "x/.GIT/config": "reserved",
    ".git ": "reserved",
    ".git.": "reserved",
    ".git::$INDEX_ALLOCATION": "reserved",
    "GIT~1": "reserved",
    "cafe\u0301": "NFC",
    "\ud800": "UTF-8",
    "   ": "only spaces",
    "x" * 256: "longer than 255",
    "a/" * 2048 + "b": "4097 bytes",
}


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_ordinary_paths_pass_unchanged(path):
    assert check_path(path) == path


@pytest.mark.parametrize(("path", "why"), BAD_PATHS.items(), ids=[ascii(path)[:40] for path in BAD_PATHS])
def test_paths_that_mislead_are_refused(path, why):
    with pytest.raises(BadPath, match=why):
        check_path(path)


@given(st.text(max_size=400))
def test_any_text_passes_unchanged_or_is_refused(text):
    try:
        assert check_path(text) == text
    except BadPath:
        return
    assert len(text.encode()) <= MAX_PATH_BYTES
    assert unicodedata.is_normalized("NFC", text)
    for segment in text.split("/"):
        for seen in (segment, unquote(segment), unicodedata.normalize("NFKC", segment)):
            assert seen not in ("", ".", "..")
            assert not set(seen) & set("/\\\0")
        assert segment.casefold().split(":")[0].rstrip(" .") != ".git"


@given(st.text(alphabet="ab.-_G~gitGIT1/ ", max_size=60))
def test_no_spelling_of_git_passes(text):
    try:
        check_path(text)
    except BadPath:
        return
    assert not {part.lower().rstrip(" .") for part in text.split("/")} & {".git", "git~1"}


@pytest.mark.parametrize("name", ["a", "tiny-lm", "Qwen2.5_0.5B", "_x", "a.b"])
def test_ordinary_names_pass(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".a", "a.", "a--b", "a..b", "x.git", "X.IPYNB", "é", "a b", "resolve"]
)
def test_other_names_are_refused(name):
    with pytest.raises(BadName):
        check_name(name)


@given(st.text(max_size=120))
def test_any_text_is_a_good_name_or_refused(text):
    try:
        assert check_name(text) == text
    except BadName:
        return
    assert text.isascii()
    assert "/" not in text


@pytest.mark.parametrize("text", ["a", "a/b/c", "/b", "a/", "a/b\n"])
def test_repository_names_are_two_words(text):
    with pytest.raises(BadName):
        parse_repo_name(text)


@pytest.mark.parametrize("ref", ["refs/heads/feat/x", "refs/heads/v1.0", "refs/tags/模型"])
def test_ordinary_refs_pass(ref):
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "short",
    ["", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b", "a.lock", "-a", "HEAD"],
)
def test_refs_that_git_refuses_are_refused(short):
    with pytest.raises(BadName):
        check_ref(f"refs/heads/{short}")


def test_a_branch_cannot_look_like_a_commit():
    with pytest.raises(BadName):
        check_ref("refs/heads/" + "a1" * 20)
