"""``headwater run``: submit, look at, end and compare runs, on this machine's site or on another.

Every command speaks with the site's API, so it does the same wherever the site is. ``--as`` is for whoever has the data folder: it makes a
token of that person for the time of the command.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headwater.kernel import SYSTEM, HeadwaterError, Kind
from headwater.web.terminal import Output, data_option, json_option, site_command

if TYPE_CHECKING:
    import httpx

    from headwater.web.site import Site

T = TypeVar("T")

OVER = ("succeeded", "failed", "cancelled", "lost")
AWAY_S = 300.0  # so long a site that is being restarted is waited for
PAUSE_S = 1.0


class RunsRefused(HeadwaterError):
    """What the site answered; its words and its code."""

    code = "runs_refused"
    kind = Kind.UNPROCESSABLE

    def __init__(self, status: int, message: str, problems: list[dict[str, str]]) -> None:
        self.status, self.problems = status, problems
        super().__init__(message or f"The site answered with {status}.")


class NoSiteGiven(HeadwaterError):
    code = "no_site_given"
    kind = Kind.BAD_INPUT

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"There is no site in {data_dir}, and no other was named: start one with `headwater up`, or give --url (or HF_ENDPOINT)."
        )


class Client:
    """The API of runs at one site."""

    def __init__(self, url: str, token: str | None) -> None:
        import httpx

        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url, self.token = url.rstrip("/"), token
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60.0, follow_redirects=True)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Raises: RunsRefused."""
        import httpx

        try:
            answer = self.http.request(method, path, json=body, params=params)
        except httpx.HTTPError as exc:
            raise RunsRefused(0, f"{self.url} does not answer: {exc}", []) from exc
        if not answer.is_success:
            raise RunsRefused(answer.status_code, _words(answer), _facts(answer).get("problems", []))
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def follow(self, run_id: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events of a run until it is over; taken up again where they break off.

        Raises:
            RunsRefused: also where the site does not answer for ``AWAY_S``.
        """
        import httpx

        after, name, heard_at = 0, "", time.monotonic()
        while True:
            path, asked = f"/runs/{run_id}/events", {"after": after}
            try:
                with self.http.stream("GET", path, params=asked, timeout=90) as answer:
                    if answer.status_code < 500 and not answer.is_success:
                        answer.read()
                        raise RunsRefused(answer.status_code, _words(answer), [])
                    for line in answer.iter_lines() if answer.is_success else ():
                        heard_at = time.monotonic()
                        if line.startswith("id: "):
                            after = int(line[4:])
                        elif line.startswith("event: "):
                            name = line[7:]
                        elif line.startswith("data: "):
                            yield name, json.loads(line[6:])
                            if name == "over":
                                return
                why = f"it answered with {answer.status_code}"
            except httpx.HTTPError as exc:
                why = str(exc) or type(exc).__name__
            if time.monotonic() - heard_at > AWAY_S:
                raise RunsRefused(0, f"{self.url} does not answer: {why}", [])
            time.sleep(PAUSE_S)


def _facts(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _words(answer: httpx.Response) -> str:
    return str(_facts(answer).get("error", ""))


def client_command(act: Callable[..., T]) -> Callable[..., T]:
    """A command that speaks with a site: adds ``--url``, ``--token``, ``--as``, ``--data`` and ``--json``."""

    @data_option
    @json_option
    @click.option(
        "--url", default=None, envvar="HF_ENDPOINT", help="The site's address.  [default: the server on --data]"
    )
    @click.option("--token", default=None, envvar="HF_TOKEN", help="What to sign in with.")
    @click.option("--as", "as_person", default=None, help="Act as this person; for whoever has the data folder.")
    @functools.wraps(act)
    def command(
        *args: Any,
        data_dir: Path,
        as_json: bool,
        url: str | None,
        token: str | None,
        as_person: str | None,
        **kwargs: Any,
    ) -> T:
        if url is None:
            url = _address_of(data_dir)
        holding: contextlib.AbstractContextManager[str | None]
        holding = _token_of(data_dir, as_person) if as_person else contextlib.nullcontext(token)
        with holding as secret:
            return act(Client(url, secret), Output(as_json=as_json), *args, **kwargs)

    return command


def _address_of(data_dir: Path) -> str:
    """Where the site that is kept here answers, as its server and its settings say."""
    if not data_dir.exists():
        raise NoSiteGiven(data_dir)
    site = click.get_current_context().obj(data_dir)
    try:
        return str(site.base_url)
    finally:
        site.close()


@contextlib.contextmanager
def _token_of(data_dir: Path, name: str) -> Iterator[str]:
    from headwater import accounts

    site = click.get_current_context().obj(data_dir)
    try:
        with accounts.passing_token(site.db, name, name="headwater run") as secret:
            yield secret
    finally:
        site.close()


@click.group("run")
def run() -> None:
    """Runs: work on compute that makes commits out of recipes."""


@run.command("submit")
@click.argument("recipe")
@click.option("--revision", default=None, help="Of the repository, where RECIPE names one.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal", show_default=True)
@click.option("--check", "only_check", is_flag=True, help="Only say what is wrong with it.")
@click.option("--wait", is_flag=True, help="Show its log until it is over; exit code 1 if it did not succeed.")
@client_command
def submit(
    client: Client,
    out: Output,
    *,
    recipe: str,
    revision: str | None,
    priority: str,
    only_check: bool,
    wait: bool,
) -> int:
    """Put a run into the queue.

    RECIPE is a file, - for standard input, or REPO:PATH in a repository, such as datasets/ada/text:recipes/corpus.yaml.
    """
    repo, colon, path = recipe.partition(":")
    body: dict[str, Any] = {"priority": priority}
    if recipe != "-" and colon and not Path(recipe).exists():
        body |= {"repo": repo, "path": path, "revision": revision}
    else:
        with click.open_file(recipe, encoding="utf-8") as file:
            body["recipe"] = file.read()
    if only_check:
        return _check(client, out, body)
    try:
        made = client.call("POST", "/runs", body)
    except RunsRefused as refused:
        if not refused.problems:
            raise
        out.result({"ok": False, "problems": refused.problems}, _problems(refused.problems))
        return 1
    if wait:
        return _wait(client, out, made["id"])
    out.result(made, f"Run {made['id']} is in the queue: {client.url}/runs/{made['id']}")
    return 0


def _check(client: Client, out: Output, body: dict[str, Any]) -> int:
    if "recipe" not in body:
        raise click.UsageError("--check takes a file")
    told = client.call("POST", "/recipes/check", {"recipe": body["recipe"]})
    out.result(told, "Nothing stands in its way." if told["ok"] else _problems(told["problems"]))
    return 0 if told["ok"] else 1


def _problems(problems: list[dict[str, str]]) -> str:
    lines = [f"{len(problems)} problem(s); nothing was started:"]
    lines += [f"  {each['where']}: {each['what']}. {each['do']}".rstrip(". ") for each in problems]
    return "\n".join(lines)


def _wait(client: Client, out: Output, run_id: int) -> int:
    out.note(f"{client.url}/runs/{run_id}")
    for name, told in client.follow(run_id):
        if name == "log" and not out.as_json:
            click.echo(told["text"], nl=False)
    found = client.call("GET", f"/runs/{run_id}")
    reason = found["reason"]
    text = f"Run {run_id}: {found['state']}" + (f": {reason['message']}" if reason else "")
    out.result(found, text)
    return 0 if found["state"] == "succeeded" else 1


@run.command("list")
@click.option("--state", multiple=True, help="Only of this state; may be given again.")
@click.option("--kind", default=None)
@click.option("--owner", default=None, help="A person or organisation.")
@click.option("--limit", default=30, show_default=True)
@client_command
def list_all(
    client: Client, out: Output, *, state: tuple[str, ...], kind: str | None, owner: str | None, limit: int
) -> None:
    """List runs, the latest first."""
    asked = {"kind": kind, "owner": owner, "limit": limit, "state": list(state)}
    found = client.call("GET", "/runs", **{name: value for name, value in asked.items() if value})
    rows = [
        (each["id"], each["state"], each["kind"], each["name"], each["owner"], each["created_at"][:16])
        for each in found
    ]
    out.table(("id", "state", "kind", "name", "owner", "created"), rows, facts=found)


@run.command("show")
@click.argument("run_id", type=int)
@client_command
def show(client: Client, out: Output, *, run_id: int) -> None:
    """Show what is known of a run."""
    found = client.call("GET", f"/runs/{run_id}")
    lines = [f"{found['name']} (#{found['id']}, {found['kind']}): {found['state']}"]
    if found["reason"]:
        lines.append(f"  {found['reason']['code']}: {found['reason']['message']}")
    lines += [f"  input {name}: {each['repo']} @ {each['commit'][:12]}" for name, each in found["inputs"].items()]
    lines += [f"  output {each['output']}: {each['commit'][:12]} on {each['revision']}" for each in found["commits"]]
    lines += [f"  {name}: {value}" for name, value in (found["result"] or {}).items()]
    lines.append(f"  {client.url}/runs/{run_id}")
    out.result(found, "\n".join(lines))


@run.command("logs")
@click.argument("run_id", type=int)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run is over.")
@click.option("--tail", default=0, help="Only about so many bytes of its end.")
@client_command
def logs(client: Client, out: Output, *, run_id: int, follow: bool, tail: int) -> None:
    """Show what a run printed."""
    if follow and not out.as_json:
        for name, told in client.follow(run_id):
            if name == "log":
                click.echo(told["text"], nl=False)
        return
    text = client.call("GET", f"/runs/{run_id}/logs", **({"tail": tail} if tail else {}))
    out.result({"id": run_id, "log": text})
    if not out.as_json:
        click.echo(text, nl=False)


@run.command("cancel")
@click.argument("run_id", type=int)
@client_command
def cancel(client: Client, out: Output, *, run_id: int) -> None:
    """End a run; it may save what it has for 20 seconds."""
    found = client.call("POST", f"/runs/{run_id}/cancel")
    out.result(
        found, f"Run {run_id} is asked to end." if found["state"] not in OVER else f"Run {run_id}: {found['state']}."
    )


@run.command("retry")
@click.argument("run_id", type=int)
@client_command
def retry(client: Client, out: Output, *, run_id: int) -> None:
    """Try a run again that did not succeed: the same recipe, inputs pinned as they were."""
    found = client.call("POST", f"/runs/{run_id}/retry")
    out.result(found, f"Run {run_id} is in the queue again.")


@run.command("compare")
@click.argument("run_ids", type=int, nargs=-1, required=True)
@client_command
def compare(client: Client, out: Output, *, run_ids: tuple[int, ...]) -> None:
    """Show what differs between runs, and what came out of each."""
    found = client.call("GET", "/run-comparison", ids=",".join(map(str, run_ids)))
    rows: list[tuple[Any, ...]] = []
    for part in ("recipe", "results", "metrics", "figures"):
        rows += [(part, row["name"], *row["values"]) for row in found[part]]
    out.table(("", "name", *(f"#{number}" for number in found["runs"])), rows, facts=found)


@run.command("quota")
@click.argument("account")
@click.option("--cpus", type=float, default=None)
@click.option("--memory-gb", type=float, default=None)
@click.option("--gpus", type=int, default=None)
@click.option("--runs", "n_runs", type=int, default=None)
@site_command
def quota(
    site: Site,
    out: Output,
    *,
    account: str,
    cpus: float | None,
    memory_gb: float | None,
    gpus: int | None,
    n_runs: int | None,
) -> None:
    """Set what the runs of a person or organisation may hold at once. What is left out is as the settings say."""
    from headwater.compute.service.lifecycle import set_quota
    from headwater.compute.service.quotas import Quota

    memory = None if memory_gb is None else int(memory_gb * 1e9)
    site.db.write(set_quota, SYSTEM, account, Quota(cpus, memory, gpus, n_runs))
    facts = {"account": account, "cpus": cpus, "memory_gb": memory_gb, "gpus": gpus, "runs": n_runs}
    told = ", ".join(f"{name} {value:g}" for name, value in facts.items() if isinstance(value, int | float))
    out.result(facts, f"Runs of {account} may hold at once: {told or 'as the settings say'}.")
