"""Whole repositories through the real client: create, list refs, settings, move, delete."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import DisabledRepoError, HfHubHTTPError, RepositoryNotFoundError


def test_a_new_repository_has_a_main_branch_with_default_attributes(live_app):
    api = live_app.hf("ada")
    url = api.create_repo("ada/first-steps")
    assert url.repo_id == "ada/first-steps"
    assert url == f"{live_app.url}/ada/first-steps"
    refs = api.list_repo_refs("ada/first-steps")
    assert [b.name for b in refs.branches] == ["main"]
    assert api.list_repo_files("ada/first-steps") == [".gitattributes"]
    text = api.hf_hub_download("ada/first-steps", ".gitattributes")
    assert "*.safetensors filter=lfs" in Path(text).read_text()


def test_a_second_repository_of_the_same_name_is_refused(live_app):
    api = live_app.hf("ada")
    api.create_repo("ada/twice")
    with pytest.raises(HfHubHTTPError, match="ada/twice is already used") as caught:
        api.create_repo("Ada/TWICE")
    assert caught.value.response.status_code == 409
    assert api.create_repo("ada/twice", exist_ok=True).repo_id == "ada/twice"


@pytest.mark.parametrize("name", ["a--b", "-x", "x.git", "x..y", "naïve", "a" * 97, "a b", "..", "%2e%2e"])
def test_names_that_cannot_be_are_refused(live_app, name):
    answer = httpx.post(
        f"{live_app.url}/api/repos/create",
        json={"name": name, "organization": "ada"},
        headers={"Authorization": f"Bearer {live_app.token('ada')}"},
    )
    assert answer.status_code == 400
    assert "cannot be used" in answer.json()["error"]


def test_nobody_creates_in_a_namespace_of_others_or_in_none(live_app):
    api = live_app.hf("bob")
    for name in ("eve/mine", "nobody-here/mine"):
        with pytest.raises(HfHubHTTPError) as caught:
            api.create_repo(name)
        assert caught.value.response.status_code == 403


def test_a_deleted_repository_is_gone_and_its_name_stays_with_its_namespace(live_app):
    api = live_app.hf("ada")
    api.create_repo("ada/short-lived", private=True)
    api.delete_repo("ada/short-lived")
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("ada/short-lived")
    with pytest.raises(RepositoryNotFoundError) as caught:
        api.delete_repo("ada/short-lived")
    assert caught.value.response.headers["x-request-id"]
    api.delete_repo("ada/short-lived", missing_ok=True)
    api.create_repo("ada/short-lived")


def test_a_private_repository_looks_absent_to_others(live_app):
    live_app.hf("ada").create_repo("ada/unseen", private=True)
    for stranger, status in (("bob", 404), (None, 401)):
        with pytest.raises(RepositoryNotFoundError) as hidden:
            live_app.hf(stranger).repo_info("ada/unseen")
        with pytest.raises(RepositoryNotFoundError) as absent:
            live_app.hf(stranger).repo_info("ada/never-was")
        assert hidden.value.response.status_code == absent.value.response.status_code == status
        assert hidden.value.response.json() == absent.value.response.json()


def test_a_moved_repository_is_found_by_its_former_name(live_app):
    api = live_app.hf("ada")
    api.create_repo("ada/old-name")
    api.upload_file(path_or_fileobj=b"hello", path_in_repo="a.txt", repo_id="ada/old-name")
    api.move_repo("ada/old-name", "lab/new-name")
    assert api.repo_info("ada/old-name").id == "lab/new-name"
    assert Path(api.hf_hub_download("ada/old-name", "a.txt")).read_text() == "hello"
    answer = httpx.head(f"{live_app.url}/ada/old-name/resolve/main/a.txt")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/lab/new-name/resolve/main/a.txt"
    with pytest.raises(HfHubHTTPError, match="former name"):
        api.create_repo("ada/old-name")
    api.create_repo("ada/another")
    with pytest.raises(HfHubHTTPError, match=r"A model repository called .* already exists"):
        api.move_repo("ada/another", "lab/new-name")
    api.move_repo("lab/new-name", "ada/old-name")
    assert api.repo_info("lab/new-name").id == "ada/old-name"


def test_visibility_and_gates_are_settings(live_app):
    api = live_app.hf("ada")
    api.create_repo("ada/settings", repo_type="dataset")
    api.update_repo_settings("ada/settings", repo_type="dataset", private=True, gated="manual")
    info = api.dataset_info("ada/settings")
    assert (info.private, info.gated) == (True, "manual")
    api.update_repo_settings("ada/settings", repo_type="dataset", private=False, gated=False)
    info = api.dataset_info("ada/settings")
    assert (info.private, info.gated) == (False, False)
    with pytest.raises(HfHubHTTPError):
        live_app.hf("bob").update_repo_settings("ada/settings", repo_type="dataset", private=True)


def test_whoami_names_the_person_and_their_organisations(live_app):
    me = live_app.hf("ada").whoami()
    assert (me["type"], me["name"]) == ("user", "ada")
    assert [org["name"] for org in me["orgs"]] == ["lab"]
    assert me["auth"]["accessToken"]["role"] == "write"


def test_a_bad_token_is_told_apart_from_a_missing_repository(live_app):
    answer = httpx.get(f"{live_app.url}/api/models/ada/unseen", headers={"Authorization": "Bearer hw_wrong"})
    assert answer.status_code == 401
    assert answer.headers["x-error-message"] == "Invalid credentials in Authorization header"
    assert "x-error-code" not in answer.headers


def test_what_is_not_served_says_so(live_app):
    for method, path in [
        ("GET", "/api/jobs/ada"),
        ("POST", "/api/buckets/ada/x"),
        ("GET", "/api/papers/search"),
        ("GET", "/api/daily_papers"),
        ("GET", "/api/spaces/ada/x/runtime"),
        ("GET", "/api/kernels/ada/x"),
    ]:
        answer = httpx.request(method, live_app.url + path)
        assert answer.status_code == 501, path
        assert "does not serve" in answer.json()["error"]
    assert httpx.get(f"{live_app.url}/api/no-such-thing").status_code == 404


def test_a_repository_the_site_has_closed(live_app, tmp_path):
    api = live_app.hf("bob")
    api.create_repo("bob/closed")
    api.upload_file(path_or_fileobj=b"hello", path_in_repo="a.txt", repo_id="bob/closed")
    assert live_app.cli("repo", "disable", "bob/closed")["disabled"] is True
    assert live_app.cli("repo", "disable", "bob/closed")["disabled"] is True
    for user in ("bob", None):
        with pytest.raises(DisabledRepoError):
            live_app.hf(user).get_hf_file_metadata(url=f"{live_app.url}/bob/closed/resolve/main/a.txt")
    with pytest.raises(DisabledRepoError):
        api.upload_file(path_or_fileobj=b"more", path_in_repo="b.txt", repo_id="bob/closed")
    cloned = subprocess.run(
        ["git", "clone", "--quiet", f"{live_app.url}/bob/closed", tmp_path / "clone"], capture_output=True, check=False
    )
    assert cloned.returncode != 0
    assert api.model_info("bob/closed").disabled
    assert "closed by the site" in httpx.get(f"{live_app.url}/bob/closed/record").text
    # Who closed it may look into it.
    assert Path(live_app.hf("ada").hf_hub_download("bob/closed", "a.txt", cache_dir=tmp_path / "yes")).exists()
    assert live_app.cli("repo", "enable", "bob/closed")["disabled"] is False
    assert Path(api.hf_hub_download("bob/closed", "a.txt", cache_dir=tmp_path / "yes")).read_text() == "hello"
