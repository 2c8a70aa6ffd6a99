"""`opoi topics`: the topics of the catalog at the broker."""

import typer

from schemas.catalog import topics
from schemas.deploy_topics import TopicResult, apply_topics, check_topics, partitions_of
from streams.cli.output import AsJson, echo_json, echo_line, echo_text, one_line_errors, table
from streams.settings import load_settings

app = typer.Typer(help="Create and check the topics of the catalog.", no_args_is_help=True)


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create missing topics, and set configurations to those of the catalog.

    Example usage: opoi topics apply
    """
    settings = load_settings()
    with one_line_errors():
        _print(apply_topics(settings, echo_line), as_json)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Compare the broker's topics with the catalog; exit code 3 if they differ.

    Example usage: opoi topics check --json
    """
    settings = load_settings()
    with one_line_errors():
        results = check_topics(settings)
    _print(results, as_json)
    if any(result.is_fault for result in results):
        raise typer.Exit(3)


@app.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """List the topics of the catalog; no broker is needed.

    Example usage: opoi topics list
    """
    kafka = load_settings().kafka
    if as_json:
        rows = [
            {**spec.model_dump(), "physical": kafka.physical(name), "partitions": partitions_of(spec, kafka)}
            for name, spec in topics().items()
        ]
        echo_json(rows)
        return
    echo_text(
        table(
            ("TOPIC", "RECORD", "KEY", "PARTITIONS", "KEPT", "OWNER", "DESCRIPTION"),
            (
                (
                    kafka.physical(name),
                    spec.record or "raw bytes",
                    spec.key,
                    partitions_of(spec, kafka),
                    "compacted" if spec.cleanup == "compact" else _span(spec.retention_ms),
                    spec.owner,
                    spec.description,
                )
                for name, spec in topics().items()
            ),
        )
    )


def _span(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "for ever"
    hours = milliseconds / 3_600_000
    return f"{hours / 24:g} d" if hours >= 24 else f"{hours:g} h"


def _print(results: list[TopicResult], as_json: bool) -> None:
    if as_json:
        echo_json(results)
        return
    rows = ((r.physical, r.partitions, r.outcome, "; ".join(r.problems), r.remedy) for r in results)
    echo_text(table(("TOPIC", "PARTITIONS", "STATE", "WHAT", "DO"), rows))
