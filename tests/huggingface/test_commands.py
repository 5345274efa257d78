"""``headwater repo``, while the server runs."""

from __future__ import annotations

import pytest
from huggingface_hub.errors import RepositoryNotFoundError


def test_an_operator_manages_repositories_from_the_command_line(live_app):
    made = live_app.cli("repo", "create", "lab/by-command", "--type=dataset", "--private")
    assert (made["id"], made["private"]) == ("lab/by-command", True)
    api = live_app.hf("ada")
    assert api.dataset_info("lab/by-command").private
    assert "lab/by-command" in [item["id"] for item in live_app.cli("repo", "list", "--owner=lab")]
    shown = live_app.cli("repo", "show", "lab/by-command", "--type=dataset")
    assert shown["sha"] == api.dataset_info("lab/by-command").sha
    refs = live_app.cli("repo", "refs", "lab/by-command", "--type=dataset")
    assert refs == [{"commit": shown["sha"], "ref": "refs/heads/main"}]
    moved = live_app.cli("repo", "move", "lab/by-command", "ada/by-command", "--type=dataset")
    assert moved["id"] == "ada/by-command"
    live_app.cli("repo", "delete", "ada/by-command", "--type=dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("ada/by-command")
