"""`opoi migrate`: the tables and views in ClickHouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from streams.cli.output import AsJson, echo, echo_json, echo_line, echo_text, table
from streams.errors import UserError
from streams.settings import load_settings

app = typer.Typer(help="Create and check tables and views in ClickHouse.", no_args_is_help=True)


@app.command()
def up(
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements, run none.")] = False,
) -> None:
    """Apply missing migrations.

    Example usage: opoi migrate up --dry-run
    """
    from sinks import migrate

    settings = load_settings().clickhouse
    with one_line_errors():
        applied = migrate.up(settings, dry_run=dry_run)
    if as_json:
        echo_json([migration.name for migration in applied])
    elif dry_run and applied:
        echo_text("\n\n".join(migrate.statements(settings, applied)))
    else:
        for migration in applied:
            echo(f"{migration.name} applied")
        echo_line(f"database {settings.database} at {settings.url} is up to date")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which migrations are applied; exit code 3 if one is missing.

    Example usage: opoi migrate status --json
    """
    from sinks import migrate

    settings = load_settings().clickhouse
    with one_line_errors():
        steps = migrate.status(settings)
    rows = [
        (
            step.migration.name,
            step.applied_at.isoformat(timespec="seconds") + "Z" if step.applied_at else None,
        )
        for step in steps
    ]
    if as_json:
        echo_json([{"migration": name, "applied_at": applied_at} for name, applied_at in rows])
    else:
        echo_text(table(("MIGRATION", "APPLIED"), ((name, at or "missing") for name, at in rows)))
    if any(step.applied_at is None for step in steps):
        raise typer.Exit(3)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns errors of ClickHouse and the migrations into a `UserError` with exit code 1."""
    from sinks.clickhouse import ClickHouseAway, StatementRefused
    from sinks.migrate import MigrationRefused

    try:
        yield
    except (ClickHouseAway, StatementRefused, MigrationRefused) as error:
        raise UserError(str(error), exit_code=1) from error
