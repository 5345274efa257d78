"""Commits of what a browser sent, when the bytes of it are not there any more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.blobs import read_all
from headwater.hub import repos, uploads
from headwater.hub.content.reading import find_file
from headwater.hub.errors import FileNotFound
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.uploads import Announced, UploadIncomplete
from headwater.hub.uploads.parts import parts_of
from tests.storage import Storage, make_storage
from tests.xet.making import Body

MODEL, NAME = RepoKind.MODEL, RepoName("ada", "m")
TEXT = Announced("notes.txt", 5000, stamp=7)
WEIGHTS = Announced("w.bin", 2_000_000, stamp=7)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = make_storage(tmp_path / "data", hub=True)
    repos.create_repository(made.site, made.person("ada"), MODEL, NAME)
    yield made
    made.site.close()


def sent(storage: Storage, file: Announced, data: bytes) -> str:
    site, ada = storage.site, storage.person("ada")
    (begun,) = uploads.begin(site, ada, MODEL, NAME, [file])
    assert uploads.append(site, ada, begun.id, begun.received_bytes, Body(data[begun.received_bytes :])).is_complete
    return begun.id


def commit(storage: Storage, *ids: str) -> None:
    message = uploads.Message("Files", "")
    uploads.commit_uploads(storage.site, storage.person("ada"), MODEL, NAME, "main", list(ids), message)


def content_of(storage: Storage, path: str) -> bytes:
    return read_all(find_file(storage.site, storage.person("ada"), MODEL, NAME, "main", path).source)


@pytest.mark.parametrize("file", [TEXT, WEIGHTS], ids=["small", "large"])
def test_an_upload_whose_parts_are_gone_commits_nothing_and_is_sent_again(storage: Storage, file: Announced) -> None:
    data = os.urandom(file.size_bytes // 2).hex().encode() if file is TEXT else os.urandom(file.size_bytes)
    lost, other = sent(storage, file, data), sent(storage, Announced("other.txt", 3, stamp=1), b"abc")
    parts_of(storage.site).drop(lost)
    with pytest.raises(UploadIncomplete, match=f"0 of {file.size_bytes} bytes are here"):
        commit(storage, other, lost)
    for path in (file.path, "other.txt"):
        with pytest.raises(FileNotFound):
            content_of(storage, path)
    again = sent(storage, file, data)  # the page takes up what was begun: from the beginning, as nothing of it is here
    assert again == lost
    commit(storage, other, again)
    assert (content_of(storage, file.path), content_of(storage, "other.txt")) == (data, b"abc")
