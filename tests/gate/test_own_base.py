"""A card may not name its own repository as the model it was made from."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError

from tests.git.live import address, commit_files, git, make_repo

CARD = "---\nlicense: mit\nbase_model: {}\n---\n# A model\n"


def test_a_commit_of_such_a_card_is_refused(live_app):
    make_repo(live_app, "ada/own-base")
    hf = live_app.hf("ada")
    card = CARD.format("ada/Own-Base").encode()
    with pytest.raises(HfHubHTTPError, match=r"names the repository itself.*card\.itself"):
        hf.create_commit("ada/own-base", [CommitOperationAdd("README.md", card)], commit_message="x")
    hf.create_commit("ada/own-base", [CommitOperationAdd("docs/README.md", card)], commit_message="x")
    other = CARD.format("ada/other").encode()
    hf.create_commit("ada/own-base", [CommitOperationAdd("README.md", other)], commit_message="x")


def test_a_push_of_such_a_card_is_refused(live_app, tmp_path):
    make_repo(live_app, "ada/own-base-push")
    folder = tmp_path / "clone"
    git("clone", "-q", address(live_app, "ada/own-base-push", "ada"), str(folder))
    commit_files(folder, {"README.md": CARD.format("ada/own-base-push").encode()})
    done = git("push", "origin", "main", cwd=folder, check=False)
    assert done.returncode != 0
    assert "card.itself" in done.stderr
    commit_files(folder, {"README.md": CARD.format("ada/other").encode(), "docs/README.md": b"# none\n"})
    git("reset", "-q", "--soft", "HEAD~1", cwd=folder)
    git("commit", "-q", "--amend", "-m", "other", cwd=folder)
    git("push", "-q", "origin", "main", cwd=folder)
