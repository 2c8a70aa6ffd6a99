"""`opoi schemas`: the schemas of records, in git and at the registry."""

from typing import Annotated

import typer

from schemas.catalog import plain_schema, schema, topics
from schemas.deploy_schemas import SchemaResult, apply_schemas, check_registered, check_schemas, with_records
from schemas.errors import CatalogError
from streams.cli.output import AsJson, echo_json, echo_line, echo_text, one_line_errors, table
from streams.errors import UserError
from streams.settings import load_settings

app = typer.Typer(help="Register, check and show the schemas of records.", no_args_is_help=True)


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Register every topic's schema, with compatibility BACKWARD_TRANSITIVE.

    Example usage: opoi schemas apply
    """
    settings = load_settings()
    with one_line_errors():
        _print(apply_schemas(settings, echo_line), as_json)


@app.command()
def check(
    registry: Annotated[
        bool, typer.Option("--registry", help="Check against the running registry instead of git.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that each schema reads records of every earlier version; exit code 3 if one does not.

    Without --registry the earlier versions come from git, and no service is needed. Exit code 1
    if the git history is not whole: then nothing was checked.

    Example usage: opoi schemas check
    """
    with one_line_errors():
        results = check_registered(load_settings()) if registry else check_schemas()
    _print(results, as_json)
    if any(result.is_fault for result in results):
        raise typer.Exit(3)
    not_run = next((result for result in results if result.outcome == "not run"), None)
    if not_run is not None:
        raise UserError(f"NOT RUN, nothing was compared: {not_run.problems[0]}", exit_code=1)


@app.command("list")
def list_schemas(as_json: AsJson = False) -> None:
    """List topics and their records.

    Example usage: opoi schemas list
    """
    rows = [
        {
            "topic": spec.name,
            "record": record,
            "fields": len(schema(record)["fields"]),
            "identity": list(spec.identity),
            "version": list(spec.version),
            "doc": schema(record)["doc"],
        }
        for spec, record in with_records()
    ]
    if as_json:
        echo_json(rows)
        return
    echo_text(
        table(
            ("TOPIC", "RECORD", "FIELDS", "IDENTITY", "WHAT"),
            ((r["topic"], r["record"], r["fields"], ", ".join(r["identity"]), r["doc"]) for r in rows),
        )
    )


@app.command()
def show(name: Annotated[str, typer.Argument(help="A record or a topic.")]) -> None:
    """Print the self-contained Avro schema of a record, as registered.

    Example usage: opoi schemas show opoi.reviews
    """
    record = topics()[name].record if name in topics() else name
    if record is None:
        raise UserError(f"{name} carries raw bytes: it has no schema")
    try:
        echo_json(plain_schema(record))
    except CatalogError:
        raise UserError(
            f"no record or topic {name!r}; `opoi schemas list` and `opoi topics list` name them"
        ) from None


def _print(results: list[SchemaResult], as_json: bool) -> None:
    if as_json:
        echo_json(results)
        return
    rows = (
        (
            r.topic,
            r.record,
            r.outcome.upper() if r.outcome == "not run" else r.outcome,
            r.schema_id,
            r.versions,
            "; ".join(r.problems),
        )
        for r in results
    )
    echo_text(table(("TOPIC", "RECORD", "STATE", "ID", "COMPARED WITH", "WHAT"), rows))
