"""The command ``headwater``. Each command is imported when it is called, so that the others cost nothing."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import click
import orjson

from headwater.kernel import HeadwaterError

# name -> (where its click command is, what it is for)
COMMANDS = {
    "up": ("headwater.cli.up:up", "Start the platform."),
    "down": ("headwater.cli.down:down", "Stop the platform that runs on a data folder."),
    "status": ("headwater.cli.status:status", "Show whether it runs, and how it is."),
    "doctor": ("headwater.cli.doctor:doctor", "Find what is missing or wrong here, and how to mend it."),
    "user": ("headwater.accounts.cli:user", "People: create, list, suspend, reset a password."),
    "org": ("headwater.accounts.cli:org", "Organisations and their members."),
    "token": ("headwater.accounts.cli:token", "Access tokens."),
    "repo": ("headwater.hub.cli:repo", "Repositories."),
    "run": ("headwater.compute.cli:run", "Runs: submit, list, show, follow, cancel, compare."),
    "grade": ("headwater.governance.cli:grade", "How open a repository is, and what that rests on."),
    "suite": ("headwater.evaluation.cli:suite", "Suites of tasks: check, publish, leaderboards, reproduce."),
    "tour": ("headwater.tour.cli:tour", "Walk through all of it on real input: import, train, evaluate, grade, serve."),
    "backup": ("headwater.cli.backup:backup", "Copy the whole site into a folder."),
    "restore": ("headwater.cli.backup:restore", "Make a site out of a backup."),
    "check": ("headwater.cli.check:check", "Look whether everything is there and is what it says."),
    "repair": ("headwater.cli.check:repair", "Mend what a check finds, from a backup or from another site."),
    "migrate-site": (
        "headwater.cli.migrate_site:migrate_site",
        "Move a running site to PostgreSQL, an object store, or both.",
    ),
    "quota": ("headwater.hub.cli_quota:quota", "What each account uses and may use."),
    "log": (
        "headwater.hub.cli_log:log",
        "The transparency log: its key, its witnesses, what to do when its end is lost.",
    ),
    "verify": (
        "headwater.hub.verifying.cli:verify",
        "Check a site's log, and that what it once showed is still there.",
    ),
    "release": (
        "headwater.hub.releases.cli:release",
        "Sign the files of a revision, and check what others have signed.",
    ),
    "witness": (
        "headwater.hub.log.cli_witness:witness",
        "Confirm the logs of other sites, without a site of one's own.",
    ),
    "engine": ("headwater.serving.cli:engine", "Programs that serve models: list them, build llama.cpp."),
    "endpoint": ("headwater.serving.cli:endpoint", "Models that are served: list, start, stop."),
    "collector": ("headwater.hub.cli_collector:collector", "Removing bytes that nobody may read any more."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "up":
            # What imports make stays: looking through it again and again is a fifth of the start. ``serve`` enables it.
            gc.disable()
        _import_structlog_alone()
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])


def _import_structlog_alone() -> None:
    """Import structlog without rich, which it takes for coloured tracebacks alone: modules that a server never uses.

    Before any command is imported, as each of them imports structlog by some way.
    """
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="headwater")
@click.pass_context
def headwater(ctx: click.Context) -> None:
    """Headwater: the platform for open large models, on your own machine.

    Begin with `headwater up`. Every command takes --json for scripts.
    """
    from headwater.cli.open import open_site

    ctx.obj = open_site


def main(arguments: list[str] | None = None) -> None:
    """Run one command; refusals become one clear message and exit code 1."""
    wants_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        code = headwater.main(arguments, prog_name="headwater", standalone_mode=False)
    except HeadwaterError as error:
        _tell({"error": error.message, "code": error.code}, f"Error: {error.message}", wants_json=wants_json)
        sys.exit(1)
    except click.ClickException as error:
        if wants_json:
            _tell({"error": error.format_message(), "code": "bad_usage"}, "", wants_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(facts: dict[str, Any], text: str, *, wants_json: bool) -> None:
    click.echo(orjson.dumps(facts).decode() if wants_json else text, err=True)
