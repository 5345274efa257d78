"""Lists, tags and card checks, asked by the real client of a real server."""

import httpx
import pytest
from huggingface_hub import ModelCard, RepoCard
from huggingface_hub.errors import HfHubHTTPError

from headwater.hub import git, search
from headwater.hub.access import find_by_name
from headwater.hub.gate import NOTHING
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.search import Query
from headwater.kernel import SYSTEM
from tests.conftest import wait_for

README = """---
license: mit
language: [zh, en]
library_name: transformers
pipeline_tag: text-generation
tags: [listing-test, {tag}]
datasets: [ada/corpus]
---
# {title}

一个用于测试列表的大语言模型 with words of its own.
"""


@pytest.fixture(scope="module")
def filled(live_app):
    """Seven models, a data set, an app; one of each private."""
    ada = live_app.hf("ada")
    for n in range(7):
        ada.create_repo(f"ada/Listed{n}-7B", private=n == 6)
        ada.upload_file(
            path_or_fileobj=README.format(title=f"Listed {n}", tag=f"only-{n}").encode(),
            path_in_repo="README.md",
            repo_id=f"ada/Listed{n}-7B",
        )
    ada.create_repo("ada/listed-data", repo_type="dataset")
    ada.upload_file(
        path_or_fileobj=b"---\ntask_categories: [translation]\nlanguage: zh\ntags: [listing-test]\n---\n",
        path_in_repo="README.md", repo_id="ada/listed-data", repo_type="dataset",
    )  # fmt: skip
    ada.create_repo("ada/listed-app", repo_type="space", space_sdk="static")
    ada.upload_file(
        path_or_fileobj=b"---\ntitle: An app of lists\nsdk: gradio\nmodels: [ada/Listed0-7B]\ntags: [listing-test]\n---\n",
        path_in_repo="README.md", repo_id="ada/listed-app", repo_type="space",
    )  # fmt: skip
    wait_for(lambda: len(list(ada.list_models(filter="listing-test"))) == 7, what="the index")
    wait_for(lambda: list(ada.list_datasets(filter="listing-test")), what="the index")
    wait_for(lambda: list(ada.list_spaces(filter="listing-test")), what="the index")
    return live_app


def ids(found):
    return {item.id for item in found}


OPEN = {f"ada/Listed{n}-7B" for n in range(6)}
ALL = OPEN | {"ada/Listed6-7B"}


def test_a_card_is_in_the_very_next_answer(live_app):
    ada = live_app.hf("ada")
    ada.create_repo("ada/at-once")
    for licence in ("mit", "apache-2.0"):
        ada.upload_file(
            path_or_fileobj=f"---\nlicense: {licence}\n---\n".encode(), path_in_repo="README.md", repo_id="ada/at-once"
        )
        info = ada.model_info("ada/at-once")
        assert info.card_data.license == licence
        assert f"license:{licence}" in info.tags


def test_lists_by_filter(filled):
    stranger, ada = filled.hf(None), filled.hf("ada")
    assert ids(stranger.list_models(filter="listing-test")) == OPEN
    assert ids(ada.list_models(filter="listing-test")) == ALL
    assert ids(filled.hf("bob").list_models(filter="listing-test")) == OPEN
    assert ids(stranger.list_models(filter=["listing-test", "only-3"])) == {"ada/Listed3-7B"}
    assert ids(stranger.list_models(filter=["listing-test", "language:zh"])) == OPEN
    assert ids(stranger.list_models(filter=["listing-test", "transformers"])) == OPEN
    assert ids(stranger.list_models(filter=["listing-test", "license:mit"])) == OPEN
    assert ids(stranger.list_models(filter="listing-test", pipeline_tag="text-generation")) == OPEN
    assert ids(stranger.list_models(filter="listing-test", pipeline_tag="fill-mask")) == set()
    assert ids(stranger.list_models(filter="listing-test", trained_dataset="ada/corpus")) == OPEN
    assert ids(stranger.list_models(filter="listing-test", author="ada")) == OPEN
    assert ids(stranger.list_models(filter="listing-test", author="bob")) == set()
    assert ids(stranger.list_models(filter="listing-test", gated=True)) == set()
    assert ids(stranger.list_models(filter="listing-test", gated=False)) == OPEN
    assert ids(stranger.list_models(filter="listing-test", num_parameters="min:1B")) == set()
    assert ids(stranger.list_models(filter="listing-test", inference="warm")) == set()
    assert ids(stranger.list_models(filter="listing-test", apps="ollama")) == set()
    assert ids(stranger.list_datasets(filter=["task_categories:translation", "language:zh"])) == {"ada/listed-data"}
    assert ids(stranger.list_spaces(models="ada/Listed0-7B")) == {"ada/listed-app"}


def test_lists_by_words(filled):
    stranger = filled.hf(None)
    assert ids(stranger.list_models(search="Listed3-7B")) == {"ada/Listed3-7B"}
    assert ids(stranger.list_models(search="listed3")) == {"ada/Listed3-7B"}
    assert ids(stranger.list_models(search="ada/Listed3")) == {"ada/Listed3-7B"}
    assert ids(stranger.list_models(search="测试列表 大语言模型")) == OPEN
    assert ids(stranger.list_models(search="words own", filter="listing-test")) == OPEN
    assert ids(stranger.list_datasets(search=["listed", "data"])) == {"ada/listed-data"}
    assert [found.id for found in stranger.search_spaces("app of lists")] == ["ada/listed-app"]


@pytest.mark.parametrize("sort", [None, "created_at", "last_modified", "likes", "downloads", "trending_score"])
def test_pages_are_followed_to_the_end(filled, sort):
    from huggingface_hub.utils import get_session

    url, pages = f"{filled.url}/api/models?filter=listing-test&limit=2" + (f"&sort={sort}" if sort else ""), []
    while url:
        answer = get_session().get(url)
        pages.append([item["id"] for item in answer.json()])
        assert answer.status_code == 200
        url = answer.links.get("next", {}).get("url")
    assert [len(page) for page in pages] == [2, 2, 2]
    assert {name for page in pages for name in page} == OPEN
    assert len(list(filled.hf(None).list_models(filter="listing-test", sort=sort, limit=5))) == 5


def test_created_last_comes_first(filled):
    found = filled.hf(None).list_models(filter="listing-test", sort="created_at", limit=3)
    assert [item.id for item in found] == ["ada/Listed5-7B", "ada/Listed4-7B", "ada/Listed3-7B"]


def test_what_an_item_tells(filled):
    stranger = filled.hf(None)
    item = next(iter(stranger.list_models(search="Listed3-7B")))
    assert (item.author, item.private, item.gated, item.library_name) == ("ada", False, False, "transformers")
    assert item.pipeline_tag == "text-generation"
    assert {"only-3", "zh", "license:mit", "dataset:ada/corpus"} <= set(item.tags)
    assert item.sha == stranger.model_info(item.id).sha
    assert item.created_at.tzinfo is not None
    assert (item.siblings, item.card_data, item.config) == (None, None, None)
    full = next(iter(stranger.list_models(search="Listed3-7B", full=True, cardData=True)))
    assert {file.rfilename for file in full.siblings} == {".gitattributes", "README.md"}
    assert full.card_data.license == "mit"
    expanded = next(iter(stranger.list_models(search="Listed3-7B", expand=["downloadsAllTime", "author"])))
    assert (expanded.author, expanded.downloads_all_time, expanded.downloads, expanded.created_at) == (
        "ada",
        0,
        None,
        None,
    )
    data = next(iter(stranger.list_datasets(search="listed-data", full=True)))
    assert data.card_data.task_categories == ["translation"]
    app = next(iter(stranger.list_spaces(search="listed-app")))
    assert app.sdk == "gradio"


@pytest.mark.parametrize(
    "query",
    [
        "expand=foo",
        "sort=size",
        "limit=0",
        "limit=x",
        "gated=perhaps",
        "num_parameters=many",
        "cursor=x",
        "apps=abacus",
    ],
)
def test_what_cannot_be_understood_is_refused(live_app, query):
    answer = httpx.get(f"{live_app.url}/api/models?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_tags_by_type(filled):
    api = filled.hf(None)
    tags = api.get_model_tags()
    assert {"id": "license:mit", "label": "mit", "type": "license"} in tags["license"]
    assert "zh" in {tag["id"] for tag in tags["language"]}
    assert "text-generation" in {tag["id"] for tag in tags["pipeline_tag"]}
    assert "only-3" in {tag["id"] for tag in tags["other"]}
    assert "only-6" not in str(tags)
    assert "task_categories:translation" in {tag["id"] for tag in api.get_dataset_tags()["task_categories"]}


def test_a_card_is_checked_before_it_is_committed(live_app, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", live_app.url)
    RepoCard("---\nlicense: mit\n---\nfine").validate()
    with pytest.raises(ValueError, match='- Error: "license" must be one of'):
        ModelCard("---\nlicense: asdf\n---\n").validate()
    ada = live_app.hf("ada")
    ada.create_repo("ada/bad-card")
    for bad in (b"---\na: &x 1\nb: *x\n---\n", b"---\na: 1\na: 2\n---\n", b"---\ntags: chat\n---\n"):
        with pytest.raises(ValueError, match="Invalid metadata in README"):
            ada.upload_file(path_or_fileobj=bad, path_in_repo="README.md", repo_id="ada/bad-card")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        ada.upload_file(path_or_fileobj=b"# no metadata", path_in_repo="README.md", repo_id="ada/bad-card")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "---\na: [\n---\n", "repoType": "model"}, 400),
        ({"content": "---\na: " + "x" * (1 << 20) + "\n---\n", "repoType": "model"}, 400),
        ({"content": "# plain", "repoType": "dataset"}, 200),
        ({"content": "", "repoType": "space"}, 200),
        ({"content": 3}, 400),
        ({}, 400),
        ({"content": "", "repoType": "castle"}, 400),
    ],
)
def test_validate_yaml_answers_json_always(live_app, body, status):
    answer = httpx.post(f"{live_app.url}/api/validate-yaml", json=body)
    assert answer.status_code == status
    shown = answer.json()
    if status == 200:
        assert shown["errors"] == []
        assert len(shown["warnings"]) >= 1
    else:
        assert shown.get("errors") or shown.get("error")


def test_a_list_call_reads_bad_metadata_as_none(live_app):
    """A broken card that came some other way than through the check leaves the repository whole."""
    ada = live_app.hf("ada")
    ada.create_repo("ada/broken-card")
    with live_app.opened() as site:  # the gate refuses it, so as one that is older
        repo = site.db.read(find_by_name, RepoKind.MODEL, RepoName("ada", "broken-card"))
        with site.part(git.GitStore).open(repo.id) as snap:
            head, now = snap.head_commit(), repo.updated_at
            add = git.AddFile("README.md", b"---\na: *x\n---\nbody")
            built = git.build_commit(
                snap, head, [add], author_name="Ada", author_email="a@b", title="card", now=now, tmp=site.blobs.tmp
            )
            move = git.RefMove("refs/heads/main", head, built.commit)
            git.publish(site, SYSTEM, repo.id, [move], built, epoch=snap.prune_epoch, now=now, judged=NOTHING)
    assert ada.model_info("ada/broken-card").card_data is None
    assert "ada/broken-card" in ids(ada.list_models(author="ada", limit=100))
    with pytest.raises(HfHubHTTPError):
        list(ada.list_models(filter="x", sort="sideways"))


def test_downloads_are_counted_also_when_the_server_ends(new_app):
    app = new_app(workers=1)
    ada = app.hf("ada")
    ada.create_repo("ada/fetched")
    ada.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="ada/fetched")
    assert httpx.get(f"{app.url}/ada/fetched/resolve/main/a.txt").content == b"x"
    app.stop()
    with app.opened() as site:
        found = site.db.read(search.list_repositories, SYSTEM, Query(RepoKind.MODEL)).items[0]
    assert (found.repo.n_downloads, found.downloads_all_time) == (1, 1)
