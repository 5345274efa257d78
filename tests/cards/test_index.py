"""The index of a repository's head: files by difference, facts of weights, cards that came by push."""

import json
import struct

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from headwater.accounts import Action
from headwater.hub import access, cards
from headwater.hub.cards import jobs, store
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import SYSTEM
from tests.conftest import wait_for


def indexed(live_app, name, kind=RepoKind.MODEL):
    """Repository, card and files as the index has them, once it stands at the head."""
    with live_app.opened() as site:

        def read():
            with site.db.reading() as tx:
                repo = access.get_repository(tx, SYSTEM, kind, RepoName("ada", name), Action.READ)
                card = cards.find_card(tx, repo.id)
                if card is None or card.commit != repo.head_commit:
                    return None
                return repo, card, cards.list_siblings(tx, repo.id, card.commit)

        return wait_for(read, what="the index")


def tree(api, repo_id):
    return {
        entry.path: (entry.blob_id, entry.size, entry.lfs.sha256 if entry.lfs else None)
        for entry in api.list_repo_tree(repo_id, recursive=True)
        if hasattr(entry, "blob_id")
    }


def flat(files):
    return {file.path: (file.oid, file.size_bytes, file.sha256) for file in files}


def add(path, data):
    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)


def test_the_flat_list_follows_the_head(live_app):
    ada = live_app.hf("ada")
    ada.create_repo("ada/followed")
    steps = [
        [add("a.txt", b"1"), add("d/e/f.txt", b"2"), add("d/e/g.txt", b"3"), add("x.bin", bytes(300))],
        [add("d/e/f.txt", b"changed"), CommitOperationDelete("d/e/g.txt")],
        [CommitOperationDelete("d/"), add("d", b"a file where a folder was")],
        [CommitOperationDelete("d"), add("d/again.txt", b"and back"), add("x.bin", bytes(301))],
        [CommitOperationDelete("a.txt")],
    ]
    for step in steps:
        ada.create_commit("ada/followed", step, commit_message="step")
        _, card, files = indexed(live_app, "followed")
        assert flat(files) == tree(ada, "ada/followed")
        assert card.n_files == len(files)
    with live_app.opened() as site:
        repo, card, files = indexed(live_app, "followed")
        jobs.index_now(site, repo.id)  # again: nothing changes
        assert site.db.read(store.list_siblings, repo.id) == files
        assert [f.path for f in site.db.read(cards.find_files, repo.id, "AGAIN")] == ["d/again.txt"]
        assert site.db.read(cards.find_files, repo.id, "%") == []
        assert card.used_storage_bytes >= 601
    info = ada.model_info("ada/followed", files_metadata=True)
    assert {s.rfilename: (s.blob_id, s.size) for s in info.siblings} == {
        p: (o, s) for p, (o, s, _) in tree(ada, "ada/followed").items()
    }


def test_weights_tell_library_parameters_and_types(live_app):
    ada = live_app.hf("ada")
    ada.create_repo("ada/weighed")
    head = json.dumps({"w": {"dtype": "BF16", "shape": [1000, 2], "data_offsets": [0, 4000]}}).encode()
    weights = struct.pack("<Q", len(head)) + head + bytes(4000)
    config = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'
    ada.create_commit(
        "ada/weighed", [add("model.safetensors", weights), add("config.json", config)], commit_message="w"
    )
    indexed(live_app, "weighed")
    info = ada.model_info("ada/weighed")
    assert info.safetensors.total == 2000
    assert info.safetensors.parameters == {"BF16": 2000}
    assert info.library_name == "transformers"
    assert info.pipeline_tag == "text-generation"
    assert info.config["model_type"] == "llama"
    assert info.transformers_info.auto_model == "AutoModelForCausalLM"
    assert {"safetensors", "llama", "transformers"} <= set(info.tags)
    assert [m.id for m in ada.list_models(num_parameters="min:2K,max:2K")] == ["ada/weighed"]


@pytest.mark.parametrize(
    "readme",
    [
        b"---\na: &x [1]\nb: [*x, *x]\n---\nbody",
        b"---\na: 1\na: 2\n---\nbody",
        b"---\na: " + b"x" * (300 << 10) + b"\n---\nbody",
        b"---\n- list\n---\nbody",
        b"---\n- list\n---\nbo\0dy \xff",
        b"\xff\xfe---\nlicense: mit\n---\n",
        b"---\nlicense: [[[3]]]\ntags: {a: 1}\nmodel-index: 7\n---\nbody",
        b"",
    ],
)
def test_a_broken_card_leaves_the_repository_whole(live_app, readme, request):
    name = f"broken-{abs(hash(readme)) % 10**8}"
    ada = live_app.hf("ada")
    ada.create_repo(f"ada/{name}")
    # As one that is older than the gate, which refuses these; huggingface_hub asks validate-yaml only for a README.md by this very name.
    ada.create_commit(f"ada/{name}", [add("keep.md", readme)], commit_message="first")
    with live_app.opened() as site:
        from headwater.hub import git
        from headwater.hub.gate import NOTHING

        repo, _, _ = indexed(live_app, name)
        with site.part(git.GitStore).open(repo.id) as snap:
            head = snap.head_commit()
            built = git.build_commit(
                snap, head, [git.AddFile("README.md", readme)], author_name="Ada", author_email="ada@example.org",
                title="card", now=repo.updated_at, tmp=site.blobs.tmp,
            )  # fmt: skip
            move = git.RefMove("refs/heads/main", head, built.commit)
            now = repo.updated_at
            git.publish(site, SYSTEM, repo.id, [move], built, epoch=snap.prune_epoch, now=now, judged=NOTHING)
    _, card, _ = indexed(live_app, name)
    assert card.problems
    info = ada.model_info(f"ada/{name}")
    assert info.tags == list(card.tags)
    assert ada.file_exists(f"ada/{name}", "README.md")
