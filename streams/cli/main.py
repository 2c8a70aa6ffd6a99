"""`opoi`: the one command.

To add a command, add one line to `COMMANDS`: its name, `module:attribute` of a function (one command)
or of a `typer.Typer` (a group, `opoi NAME VERB`), its line in `opoi --help`, and its section there. A command
is imported only when it is called, so that `opoi --help` stays fast:

    "topics": Lazy("streams.cli.topics:app", "Create and check the topics of the catalog.", PIPELINE),

Data goes to stdout, everything else to stderr. Exit codes: 0 done; 1 failed; 2 wrong use, a missing or wrong
setting, a port in use, no network for the first download, or a full disk; 3 a check found a fault. An error
that a user can mend is raised as `UserError`.
"""

import sys
from typing import Annotated

import typer

from streams.cli.lazy import Lazy, LazyGroup
from streams.errors import UserError

STACK = "One machine"
PIPELINE = "Pipeline"
OTHER = "Settings"

COMMANDS = {
    "up": Lazy("local_stack.cli.stack:up", "Start everything on this machine.", STACK),
    "down": Lazy("local_stack.cli.stack:down", "Stop everything on this machine; data stays.", STACK),
    "status": Lazy("local_stack.cli.stack:status", "Show processes, ports, memory and disk.", STACK),
    "logs": Lazy("local_stack.cli.stack:logs", "Show the log of one process.", STACK),
    "reset": Lazy("local_stack.cli.stack:reset", "Stop, and delete all data of this stack.", STACK),
    "doctor": Lazy("streams.cli.doctor:doctor", "Report faults and what to do about them.", STACK),
    "demo": Lazy("local_stack.cli.demo:demo", "Show the whole pipeline with simulated traffic.", STACK),
    "worker": Lazy("streams.cli.worker:worker", "Run one worker of one stage.", PIPELINE),
    "topics": Lazy("streams.cli.topics:app", "Create and check the topics of the catalog.", PIPELINE),
    "schemas": Lazy("streams.cli.schemas:app", "Register, check and show the schemas of records.", PIPELINE),
    "migrate": Lazy("streams.cli.migrate:app", "Create and check tables and views in ClickHouse.", PIPELINE),
    "sql": Lazy("streams.cli.sql:sql", "Query ClickHouse: named queries, or your own.", PIPELINE),
    "agent": Lazy("streams.cli.agent:app", "Register agents, serve and check them.", PIPELINE),
    "replay": Lazy("streams.cli.replay:app", "Show a replay; pause and resume replays.", PIPELINE),
    "config": Lazy("streams.cli.config:app", "Show the effective settings.", OTHER),
}


class Commands(LazyGroup):
    """The commands of `opoi`."""

    table = COMMANDS


app = typer.Typer(
    name="opoi",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from streams.cli.output import echo

        echo(version("opoi"))
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn from your experts with training data that your agent wrote itself.

    Example usage: `opoi up`, then `opoi demo`, then `opoi status`.
    """


def _refuse_no_text(arguments: list[str]) -> None:
    """Raises UserError for bytes that are no UTF-8: Python hands them on as text that nothing can write."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            given = argument.encode(errors="surrogateescape")[:40]
            raise UserError(f"argument {number} is no UTF-8 text: {given!r}; write it in UTF-8") from None


def run() -> None:
    """Entry point: run the command line; print an error that the user can mend as one line."""
    try:
        _refuse_no_text(sys.argv[1:])
        app(prog_name="opoi")
    except UserError as error:
        from streams.cli.output import echo_text

        echo_text(error.message, err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
