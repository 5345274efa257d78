"""A torch file becomes safetensors in a pull request that the owner merges."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd
from safetensors.numpy import load_file

from headwater.scanning.confined import has_namespaces
from tests.conftest import wait_for
from tests.git.live import make_repo
from tests.pages.conftest import Pages
from tests.pages.test_writing import send
from tests.scanning.test_converting import torch_zip

AT = "/ada/page-convert/convert"


@pytest.mark.skipif(not has_namespaces(), reason="this system gives no user namespaces")
def test_a_torch_file_is_offered_as_safetensors(pages: Pages, tmp_path: Path) -> None:
    make_repo(pages.app, "ada/page-convert")
    hf = pages.app.hf("ada")
    data = torch_zip(tmp_path, 4).read_bytes()
    operations = [CommitOperationAdd("pytorch_model.bin", data), CommitOperationAdd("other.pt", b"\x80\x02}.")]
    hf.create_commit("ada/page-convert", operations, commit_message="x")
    with pages.client("ada") as ada, pages.client("bob") as bob, pages.client() as stranger:
        page = ada.get("/ada/page-convert/blob/main/pytorch_model.bin").text
        assert 'value="pytorch_model.bin"' in page
        assert 'action="/ada/page-convert/convert"' in page
        assert "page-convert/convert" not in bob.get("/ada/page-convert/blob/main/pytorch_model.bin").text
        assert bob.get(AT).status_code == 403
        assert stranger.get(AT).status_code in (303, 401)
        assert send(ada, AT, "/new/model", path="README.md").status_code == 400
        for path in ("pytorch_model.bin", "other.pt"):
            assert send(ada, AT, "/new/model", path=path).status_code == 303
        wait_for(lambda: "waiting" not in ada.get(AT).text, what="the conversions")
        html = ada.get(AT).text
    assert "Pull request #1" in html
    assert "plain pickle" in html
    found = hf.hf_hub_download(
        "ada/page-convert", "model.safetensors", revision="refs/pr/1", local_dir=tmp_path / "out"
    )
    assert load_file(found)["w"].tolist() == [0, 1, 2, 3]
    hf.merge_pull_request("ada/page-convert", 1)
    assert "model.safetensors" in hf.list_repo_files("ada/page-convert")
