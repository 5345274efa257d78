"""``headwater suite``: publish a suite of tasks, see what is wrong with one, and look at its leaderboard.

What asks the site goes through its API, as ``headwater run`` does. To evaluate is to submit a run: ``headwater run submit``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from headwater.compute.cli import Client, client_command
from headwater.evaluation import publishing
from headwater.evaluation.publishing import BadSuite
from headwater.web.terminal import Output, json_option


@click.group("suite")
def suite() -> None:
    """Suites: tasks that models are evaluated by, in dataset repositories."""


@suite.command("list")
@json_option
def list_shipped(*, as_json: bool) -> None:
    """The suites that come with Headwater."""
    found = publishing.list_shipped()
    Output(as_json=as_json).result(found, "\n".join(found))


@suite.command("check")
@click.argument("folder")
@json_option
def check(*, folder: str, as_json: bool) -> int:
    """Say what of a suite a run would refuse. FOLDER is a folder, or the name of a suite that comes with Headwater."""
    found, problems = publishing.read_folder(publishing.folder_of(folder))
    told: dict[str, Any] = {
        "ok": not problems,
        "tasks": sorted(found.tasks),
        "groups": sorted(found.groups),
        "default": found.default(),
        "endpoints": [name for name in found.top() if not any(each.needs_likelihood for each in found.below(name))],
        "problems": [{"where": each.where, "what": each.what, "do": each.do} for each in problems],
    }
    text = "\n".join(f"{each}" for each in problems) or (
        f"{len(found.tasks)} tasks, {len(found.groups)} groups. Asked where a recipe names none: {', '.join(told['default'])}. "
        f"Fit for endpoints: {', '.join(told['endpoints']) or 'none'}."
    )
    Output(as_json=as_json).result(told, text)
    return 1 if problems else 0


@suite.command("publish")
@click.argument("folder")
@click.argument("repo")
@click.option("--private", is_flag=True, help="Where the repository is created: closed to others.")
@click.option("--message", default=None, help="Of the commit.")
@client_command
def publish(client: Client, out: Output, *, folder: str, repo: str, private: bool, message: str | None) -> None:
    """Put a suite into the dataset repository REPO (namespace/name), created if it is not there.

    FOLDER is a folder, or the name of a suite that comes with Headwater, such as headwater-bilingual. Files that are not in the
    folder stay in the repository.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    place = publishing.folder_of(folder)
    found, problems = publishing.read_folder(place)
    if problems:
        raise BadSuite([str(each) for each in problems])
    api = HfApi(endpoint=client.url, token=client.token or False)
    try:
        repo = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True).repo_id
        files = publishing.files_of(place)
        made = api.create_commit(
            repo,
            [CommitOperationAdd(name, path.read_bytes()) for name, path in files.items()],
            commit_message=message or f"Publish the suite {place.resolve().name}",
            repo_type="dataset",
        )
    except HfHubHTTPError as exc:
        raise click.ClickException(exc.server_message or str(exc)) from exc
    told = {"repo": repo, "commit": made.oid, "files": len(files), "tasks": sorted(found.tasks)}
    out.result(told, f"{client.url}/datasets/{repo} at {made.oid[:12]}: {len(files)} files, {len(found.tasks)} tasks.")


@suite.command("leaderboard")
@click.argument("repo")
@click.option("--by", type=click.Choice(["ability", "task"]), default="ability", show_default=True)
@client_command
def leaderboard(client: Client, out: Output, *, repo: str, by: str) -> None:
    """What was evaluated with the suite in the dataset repository REPO, the best first."""
    told = client.call("GET", f"/leaderboards/{quote(repo)}", by=by)
    out.result(told, "\n".join(_line(each) for each in told["lines"]) or "Nothing was evaluated with it yet.")


def _line(each: dict[str, Any]) -> str:
    place = "–" if each["place"] is None else str(each["place"])
    cells = "  ".join(f"{name} {_figure(mean)}" for name, mean in sorted(each["scores"].items()))
    return f"{place:>3}  {_figure(each['total'])}  {each['model'] or each['endpoint']}  (run {each['run']})  {cells}"


def _figure(mean: dict[str, Any] | None) -> str:
    if mean is None:
        return "–"
    margin = "" if mean["low"] is None else f"±{100 * (mean['high'] - mean['value']):.1f}"
    return f"{100 * mean['value']:.1f}{margin}"


@suite.command("reproduce")
@click.argument("run", type=int)
@client_command
def reproduce(client: Client, out: Output, *, run: int) -> None:
    """Submit the recipe of an evaluation once more, with its inputs at the same commits, as a run of your own."""
    made = client.call("POST", f"/evaluations/{run}/reproduce")
    out.result(
        made, f"Run {made['run']} repeats run {run}, and compares them when it is over: {client.url}/runs/{made['run']}"
    )
