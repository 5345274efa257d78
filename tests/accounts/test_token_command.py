"""``headwater token create --on``: people, organisations, and single repositories."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


def test_a_token_for_single_repositories(live_app):
    hf = live_app.hf("ada")
    for name in ("one", "two"):
        hf.create_repo(f"ada/{name}-by-token", private=True)
    hf.create_repo("ada/one-by-token", repo_type="dataset", private=True)
    on = ("--on", "ada/one-by-token", "--on", "datasets/ada/one-by-token")
    made = live_app.cli("token", "create", "--user", "ada", "--scope", "write", *on)
    assert made["scope"] == "fine"
    fine = HfApi(endpoint=live_app.url, token=made["token"])
    for kind in ("model", "dataset"):
        fine.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id="ada/one-by-token", repo_type=kind)
    with pytest.raises(RepositoryNotFoundError):
        fine.model_info("ada/two-by-token")
    with pytest.raises(HfHubHTTPError):
        fine.create_repo("ada/three-by-token")


def test_a_repository_that_is_not_there(live_app):
    with pytest.raises(AssertionError, match="epository"):
        live_app.cli("token", "create", "--user", "ada", "--on", "ada/never-was")
