"""What huggingface_hub sees of the community, through a real server."""

from __future__ import annotations

import itertools
import subprocess

import pytest
from huggingface_hub import CommitOperationAdd, WebhookWatchedItem
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tests.conftest import LiveApp
from tests.servers.receiver import Receiver

_names = itertools.count(1)


@pytest.fixture
def ada(live_app: LiveApp):
    return live_app.hf("ada")


@pytest.fixture
def bob(live_app: LiveApp):
    return live_app.hf("bob")


@pytest.fixture
def repo_id(ada) -> str:
    """A public model of ada's."""
    return ada.create_repo(f"ada/community-{next(_names)}").repo_id


def status_of(call) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def test_a_discussion_from_first_word_to_last(repo_id, ada, bob):
    made = bob.create_discussion(repo_id, " A  question ", description="How *deep* is it?")
    assert (made.num, made.title, made.author, made.status) == (1, "A question", "bob", "open")
    assert made.url == f"{bob.endpoint}/{repo_id}/discussions/1"
    assert made == ada.get_discussion_details(repo_id, 1)
    (first,) = made.events
    assert "<em>deep</em>" in first.rendered
    answer = ada.comment_discussion(repo_id, 1, "Two <script>alert(1)</script> metres")
    assert "<script" not in answer.rendered
    edited = bob.edit_discussion_comment(repo_id, 1, first.id, "How **deep** is it?")
    assert (edited.edited, edited.content, edited.number_of_edits) == (True, "How **deep** is it?", 1)
    assert edited.last_edited_by == "bob"
    renamed = bob.rename_discussion(repo_id, 1, "A better question")
    assert (renamed.old_title, renamed.new_title) == ("A question", "A better question")
    closed = ada.change_discussion_status(repo_id, 1, "closed", comment="Thanks")
    assert closed.new_status == "closed"
    hidden = ada.hide_discussion_comment(repo_id, 1, answer.id)
    assert hidden.hidden
    assert "alert" not in hidden.content
    found = bob.get_discussion_details(repo_id, 1)
    assert [event.type for event in found.events] == ["comment", "comment", "title-change", "comment", "status-change"]
    assert found.events[0] == edited
    assert found.status == "closed"


def test_lists_by_kind_status_and_author(repo_id, ada, bob):
    ada.create_discussion(repo_id, "One by ada")
    bob.create_discussion(repo_id, "Two by bob")
    bob.create_pull_request(repo_id, "Three by bob")
    ada.change_discussion_status(repo_id, 1, "closed")

    def numbers(**narrowed):
        return [item.num for item in ada.get_repo_discussions(repo_id, **narrowed)]

    assert numbers() == [3, 2, 1]
    assert numbers(discussion_type="pull_request") == [3]
    assert numbers(discussion_type="discussion", discussion_status="open") == [2]
    assert numbers(discussion_status="closed") == [1]
    assert numbers(author="bob") == [3, 2]


def test_long_lists_come_in_pages(repo_id, ada):
    for number in range(53):
        ada.create_discussion(repo_id, f"Number {number}")
    assert [item.num for item in ada.get_repo_discussions(repo_id)] == list(range(53, 0, -1))


def test_a_stranger_proposes_and_the_owner_merges(repo_id, ada, bob):
    draft = bob.create_pull_request(repo_id, "Add a file", description="It was missing.")
    assert (draft.status, draft.git_reference, draft.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
    assert draft.conflicting_files == []
    add = [CommitOperationAdd("new.txt", b"one\n"), CommitOperationAdd("weights.bin", b"\0" * 100)]
    commit = bob.create_commit(repo_id, add, commit_message="Add two files", revision="refs/pr/1")
    found = bob.get_discussion_details(repo_id, 1)
    (pushed,) = [event for event in found.events if event.type == "commit"]
    assert (pushed.summary, pushed.oid, pushed.author) == ("Add two files", commit.oid, "bob")
    assert "+one" in found.diff
    assert "new.txt" not in ada.list_repo_files(repo_id)
    with pytest.raises(HfHubHTTPError, match="draft"):
        ada.merge_pull_request(repo_id, 1)
    bob.change_discussion_status(repo_id, 1, "open")
    assert status_of(lambda: bob.merge_pull_request(repo_id, 1)) == 403
    ada.merge_pull_request(repo_id, 1, comment="Welcome")
    merged = ada.get_discussion_details(repo_id, 1)
    assert merged.status == "merged"
    assert merged.merge_commit_oid == ada.repo_info(repo_id).sha
    assert {"new.txt", "weights.bin"} <= set(ada.list_repo_files(repo_id))
    with open(ada.hf_hub_download(repo_id, "weights.bin"), "rb") as file:
        assert file.read() == b"\0" * 100
    assert status_of(lambda: ada.change_discussion_status(repo_id, 1, "closed")) == 409
    more = [CommitOperationAdd("more.txt", b"two\n")]
    assert status_of(lambda: bob.create_commit(repo_id, more, commit_message="More", revision="refs/pr/1")) == 403


def test_a_commit_opens_a_pull_request_by_itself(repo_id, bob):
    add = [CommitOperationAdd("new.txt", b"one\n")]
    done = bob.create_commit(repo_id, add, commit_message="Fix", commit_description="why", create_pr=True)
    assert done.pr_num == 1
    found = bob.get_discussion_details(repo_id, 1)
    assert (found.status, found.is_pull_request, found.title) == ("open", True, "Fix")
    assert [event.type for event in found.events] == ["comment", "commit"]
    assert found.events[0].content == "why"


def test_conflicting_files_are_named(repo_id, ada, bob):
    bob.create_commit(repo_id, [CommitOperationAdd("a.txt", b"bob\n")], commit_message="Bob's", create_pr=True)
    ada.create_commit(repo_id, [CommitOperationAdd("a.txt", b"ada\n")], commit_message="Ada's")
    assert bob.get_discussion_details(repo_id, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"a\.txt"):
        ada.merge_pull_request(repo_id, 1)
    assert ada.get_discussion_details(repo_id, 1).status == "open"


def test_pull_requests_are_pushed_to_with_git(live_app: LiveApp, repo_id, ada, bob, tmp_path):
    bob.create_pull_request(repo_id, "By git")

    def git(*args, cwd=tmp_path, ok=True):
        done = subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *args], cwd=cwd, capture_output=True, text=True
        )
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout + done.stderr

    where = live_app.url.replace("//", f"//user:{live_app.token('bob')}@")
    git("clone", "-q", f"{where}/{repo_id}", "clone")
    clone = tmp_path / "clone"
    git("fetch", "-q", "origin", "refs/pr/1:pr/1", cwd=clone)
    git("checkout", "-q", "pr/1", cwd=clone)
    (clone / "by-git.txt").write_text("hello\n")
    git("add", ".", cwd=clone)
    git("commit", "-qm", "By git", cwd=clone)
    git("push", "-q", "origin", "pr/1:refs/pr/1", cwd=clone)
    found = bob.get_discussion_details(repo_id, 1)
    assert [event.summary for event in found.events if event.type == "commit"] == ["By git"]
    git("push", "origin", "pr/1:refs/heads/main", cwd=clone, ok=False)
    git("push", "origin", "pr/1:refs/pr/2", cwd=clone, ok=False)
    where = live_app.url.replace("//", f"//user:{live_app.token('eve')}@")
    git("push", f"{where}/{repo_id}", "+HEAD~1:refs/pr/1", cwd=clone, ok=False)
    bob.change_discussion_status(repo_id, 1, "open")
    ada.merge_pull_request(repo_id, 1)
    assert "by-git.txt" in ada.list_repo_files(repo_id)


def test_private_repositories_hide_everything(live_app: LiveApp, ada, bob):
    repo_id = ada.create_repo(f"ada/hidden-{next(_names)}", private=True).repo_id
    ada.create_discussion(repo_id, "Inside")
    ada.create_pull_request(repo_id, "Inside too")
    stranger = live_app.hf(None)
    for api in (bob, stranger):
        for act in (
            lambda api=api: list(api.get_repo_discussions(repo_id)),
            lambda api=api: api.get_discussion_details(repo_id, 1),
            lambda api=api: api.create_discussion(repo_id, "From outside"),
            lambda api=api: api.create_pull_request(repo_id, "From outside"),
            lambda api=api: api.comment_discussion(repo_id, 1, "From outside"),
            lambda api=api: list(api.list_repo_likers(repo_id)),
            lambda api=api: api.unlike(repo_id),
        ):
            with pytest.raises(RepositoryNotFoundError):
                act()


def test_read_tokens_do_not_write(live_app: LiveApp, repo_id, ada):
    ada.create_discussion(repo_id, "A question")
    reader = live_app.hf("bob", "read")
    assert reader.get_discussion_details(repo_id, 1).title == "A question"
    assert status_of(lambda: reader.comment_discussion(repo_id, 1, "No")) == 403
    assert status_of(lambda: live_app.hf(None).comment_discussion(repo_id, 1, "No")) == 401


def test_bad_values_are_refused_by_name(repo_id, ada):
    assert status_of(lambda: ada.create_discussion(repo_id, "x")) == 400
    with pytest.raises(HfHubHTTPError) as caught:
        ada.get_discussion_details(repo_id, 7)
    assert caught.value.response.status_code == 404
    assert not isinstance(caught.value, RepositoryNotFoundError)


def test_likes_are_counted_once(live_app: LiveApp, repo_id, ada, bob):
    import httpx

    url, headers = f"{live_app.url}/api/models/{repo_id}/like", {"Authorization": f"Bearer {live_app.token('bob')}"}
    for _ in range(2):
        assert httpx.post(url, headers=headers).status_code == 200
    assert [user.username for user in ada.list_repo_likers(repo_id)] == ["bob"]
    assert ada.model_info(repo_id).likes == 1
    assert repo_id in bob.list_liked_repos().models
    assert repo_id in ada.list_liked_repos("bob").models
    bob.unlike(repo_id)
    bob.unlike(repo_id)
    assert list(ada.list_repo_likers(repo_id)) == []
    assert ada.model_info(repo_id).likes == 0


def test_likes_of_private_things_are_seen_by_those_who_may(live_app: LiveApp, ada, bob):
    import httpx

    repo_id = ada.create_repo(f"ada/liked-{next(_names)}", private=True).repo_id
    headers = {"Authorization": f"Bearer {live_app.token('ada')}"}
    assert httpx.post(f"{live_app.url}/api/models/{repo_id}/like", headers=headers).status_code == 200
    assert repo_id in ada.list_liked_repos("ada").models
    assert repo_id not in bob.list_liked_repos("ada").models


def test_overviews_and_followers(live_app: LiveApp, ada, bob, repo_id):
    import httpx

    before = bob.get_user_overview("ada")
    assert (before.username, before.user_type) == ("ada", "user")
    assert before.num_models >= 1
    assert "lab" in [org.name for org in before.orgs]
    headers = {"Authorization": f"Bearer {live_app.token('bob')}"}
    for path in ("users/ada", "organizations/lab"):
        assert httpx.post(f"{live_app.url}/api/{path}/follow", headers=headers).status_code == 200
    assert "bob" in [user.username for user in ada.list_user_followers("ada")]
    assert {"ada", "lab"} <= {user.username for user in ada.list_user_following("bob")}
    assert "bob" in [user.username for user in ada.list_organization_followers("lab")]
    assert bob.get_user_overview("ada").is_following
    organisation = bob.get_organization_overview("lab")
    assert (organisation.name, organisation.is_following) == ("lab", True)
    assert organisation.num_users >= 1
    assert "ada" in [user.username for user in bob.list_organization_members("lab")]
    assert httpx.delete(f"{live_app.url}/api/users/ada/follow", headers=headers).status_code == 200
    assert not bob.get_user_overview("ada").is_following
    assert status_of(lambda: bob.get_user_overview("nobody-of-that-name")) == 404
    assert status_of(lambda: bob.get_user_overview("lab")) == 404


def test_collections_from_first_item_to_last(ada, bob, repo_id):
    title = f"Good things {next(_names)}"
    made = ada.create_collection(title, description="what I like")
    assert made.slug.startswith(f"ada/good-things-{title.rsplit(maxsplit=1)[-1]}-")
    assert (made.title, made.description, made.items, made.private) == (title, "what I like", [], False)
    assert ada.create_collection(title, exists_ok=True).slug == made.slug
    assert status_of(lambda: ada.create_collection(title)) == 409
    dataset = ada.create_repo(f"ada/data-{next(_names)}", repo_type="dataset").repo_id
    nested = ada.create_collection(f"Nested {next(_names)}").slug
    ada.add_collection_item(made.slug, repo_id, "model", note="the first")
    ada.add_collection_item(made.slug, dataset, "dataset")
    ada.add_collection_item(made.slug, nested, "collection")
    found = bob.get_collection(made.slug)
    assert [(item.item_id, item.item_type, item.note) for item in found.items] == [
        (repo_id, "model", "the first"),
        (dataset, "dataset", None),
        (nested, "collection", None),
    ]
    assert status_of(lambda: ada.add_collection_item(made.slug, repo_id, "model")) == 409
    assert status_of(lambda: ada.add_collection_item(made.slug, repo_id, "dataset")) == 404
    ada.add_collection_item(made.slug, repo_id, "model", exists_ok=True)
    ada.update_collection_item(made.slug, found.items[0].item_object_id, note="moved", position=1)
    found = bob.get_collection(made.slug)
    assert [item.item_id for item in found.items] == [dataset, repo_id, nested]
    assert [item.position for item in found.items] == [0, 1, 2]
    assert found.items[1].note == "moved"
    ada.delete_collection_item(made.slug, found.items[1].item_object_id)
    ada.delete_collection_item(made.slug, found.items[1].item_object_id, missing_ok=True)
    assert [item.item_id for item in ada.get_collection(made.slug).items] == [dataset, nested]
    assert made.slug in [one.slug for one in bob.list_collections(owner="ada")]
    assert made.slug in [one.slug for one in bob.list_collections(item=f"datasets/{dataset}")]
    assert made.slug not in [one.slug for one in bob.list_collections(item=f"models/{repo_id}")]
    for act in (
        lambda: bob.add_collection_item(made.slug, repo_id, "model"),
        lambda: bob.update_collection_metadata(made.slug, title="Mine now"),
        lambda: bob.delete_collection(made.slug),
    ):
        assert status_of(act) == 403
    ada.delete_collection(made.slug)
    assert status_of(lambda: ada.delete_collection(made.slug)) == 404
    ada.delete_collection(made.slug, missing_ok=True)


def test_a_renamed_collection_keeps_its_id_and_hides_when_private(ada, bob):
    made = ada.create_collection(f"Old name {next(_names)}")
    changed = ada.update_collection_metadata(
        made.slug, title=f"New name {next(_names)}", description="d", private=True, theme="pink"
    )
    assert changed.slug != made.slug
    assert changed.slug.split("-")[-1] == made.slug.split("-")[-1]
    assert (changed.private, changed.theme, changed.description) == (True, "pink", "d")
    assert ada.get_collection(made.slug).slug == changed.slug
    assert status_of(lambda: bob.get_collection(made.slug)) == 404
    assert changed.slug not in [one.slug for one in bob.list_collections(owner="ada")]
    assert changed.slug in [one.slug for one in ada.list_collections(owner="ada")]


def test_collections_hide_what_is_private_in_them(ada, bob):
    made = ada.create_collection(f"Mixed {next(_names)}")
    secret = ada.create_repo(f"ada/secret-{next(_names)}", private=True).repo_id
    ada.add_collection_item(made.slug, secret, "model")
    assert [item.item_id for item in ada.get_collection(made.slug).items] == [secret]
    assert bob.get_collection(made.slug).items == []
    own = bob.create_collection(f"Bob's {next(_names)}")
    assert status_of(lambda: bob.add_collection_item(own.slug, secret, "model")) == 404


def test_collections_of_organisations_are_their_writers(ada, bob):
    made = ada.create_collection(f"Of the lab {next(_names)}", namespace="lab")
    assert made.slug.startswith("lab/")
    assert status_of(lambda: bob.create_collection("Intruding", namespace="lab")) == 403


def test_access_requests_move_between_the_three_lists(live_app: LiveApp, ada, bob, repo_id):
    import httpx

    ada.update_repo_settings(repo_id, gated="manual")
    headers = {"Authorization": f"Bearer {live_app.token('bob')}"}
    asked = httpx.post(f"{live_app.url}/api/models/{repo_id}/ask-access", headers=headers, json={"Company": "Mill"})
    assert asked.json()["status"] == "pending"
    (pending,) = ada.list_pending_access_requests(repo_id)
    assert (pending.username, pending.status, pending.fields) == ("bob", "pending", {"Company": "Mill"})
    ada.accept_access_request(repo_id, "bob")
    assert [one.username for one in ada.list_accepted_access_requests(repo_id)] == ["bob"]
    bob.hf_hub_download(repo_id, ".gitattributes")
    ada.reject_access_request(repo_id, "bob", rejection_reason="no")
    assert [one.username for one in ada.list_rejected_access_requests(repo_id)] == ["bob"]
    ada.accept_access_request(repo_id, request_id=pending.request_id)
    assert status_of(lambda: ada.accept_access_request(repo_id, "bob")) == 400
    ada.cancel_access_request(repo_id, "bob")
    assert [one.username for one in ada.list_pending_access_requests(repo_id)] == ["bob"]
    ada.grant_access(repo_id, "eve")
    (granted,) = ada.list_accepted_access_requests(repo_id)
    assert (granted.username, granted.email) == ("eve", None)
    assert status_of(lambda: ada.grant_access(repo_id, "eve")) == 400
    assert status_of(lambda: ada.grant_access(repo_id, "nobody-of-that-name")) == 404
    assert status_of(lambda: list(bob.list_pending_access_requests(repo_id))) == 403


def test_a_closed_gate_hides_differences(live_app: LiveApp, ada, bob, repo_id):
    add = [CommitOperationAdd("a.txt", b"behind the gate\n")]
    ada.create_commit(repo_id, add, commit_message="Inside", create_pr=True)
    ada.update_repo_settings(repo_id, gated="manual")
    assert "behind the gate" in ada.get_discussion_details(repo_id, 1).diff
    seen = bob.get_discussion_details(repo_id, 1)
    assert (seen.title, seen.diff) == ("Inside", None)
    with pytest.raises(GatedRepoError):
        bob.hf_hub_download(repo_id, "a.txt", revision="refs/pr/1")


def test_webhooks_are_kept_for_their_owner(live_app: LiveApp, ada, bob):
    watched = [WebhookWatchedItem(type="user", name="ada"), {"type": "org", "name": "lab"}]
    made = ada.create_webhook(url="https://example.org/hook", watched=watched, domains=["repo"], secret="s")
    assert (made.url, made.domains, made.secret, made.disabled) == ("https://example.org/hook", ["repo"], "s", False)
    assert [(item.type, item.name) for item in made.watched] == [("user", "ada"), ("org", "lab")]
    assert ada.get_webhook(made.id) == made
    assert made in ada.list_webhooks()
    assert made not in bob.list_webhooks()
    assert status_of(lambda: bob.get_webhook(made.id)) == 404
    assert ada.update_webhook(made.id, url="https://example.org/new").url == "https://example.org/new"
    assert ada.disable_webhook(made.id).disabled
    assert not ada.enable_webhook(made.id).disabled
    ada.delete_webhook(made.id)
    assert status_of(lambda: ada.get_webhook(made.id)) == 404
    assert status_of(lambda: ada.create_webhook(job_id="ada/1", watched=watched)) == 501


def test_a_push_reaches_a_receiver(new_app):
    receiver = Receiver().start()
    try:
        app = new_app(env={"HEADWATER_WEBHOOK_ALLOW": "127.0.0.1"})
        ada, bob = app.hf("ada"), app.hf("bob")
        repo_id = ada.create_repo("ada/river").repo_id
        bob.create_webhook(url=receiver.url, watched=[{"type": "model", "name": repo_id}], secret="s3cret")
        commit = ada.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo_id)
        (got,) = receiver.wait_for(1, wanted=lambda one: "updatedRefs" in one.json)
        assert got.headers["X-Webhook-Secret"] == "s3cret"
        assert got.json["updatedRefs"][0]["newSha"] == commit.oid
        assert got.json["repo"]["url"]["web"] == f"{app.url}/{repo_id}"
    finally:
        receiver.stop()
