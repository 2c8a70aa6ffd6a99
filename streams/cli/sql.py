"""`opoi sql`: named analyst queries and free statements, read-only."""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sinks.named_queries import QueryFault, named_queries, named_query
from streams.cli.migrate import one_line_errors
from streams.cli.output import AsJson, echo_csv, echo_json, echo_json_text, echo_line, echo_text, table
from streams.errors import UserError
from streams.settings import load_settings

if TYPE_CHECKING:
    from sinks.clickhouse import ClickHouse

LONGEST = 60
"""Characters of a cell in a table."""


def sql(
    name: Annotated[str | None, typer.Argument(help="A named query; `--list` shows all.")] = None,
    statement: Annotated[str | None, typer.Option("-q", "--query", help="Your own statement.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, for {NAME:Type} in the query.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the named queries.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Query ClickHouse, read-only.

    Example usage: opoi sql funnel --param days=7
    """
    if list_them:
        _list(as_json)
        return
    if (name is None) == (statement is None):
        raise UserError("give the name of a query (`opoi sql --list` shows them) or -q 'SELECT ...'")
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other: give one of them")
    given = _parameters(param or [])
    if statement is not None:
        with one_line_errors():
            found = _clickhouse().read(statement, given)
        _print(found.column_names, found.result_rows, as_json=as_json, as_csv=as_csv)
        return
    assert name is not None
    try:
        query = named_query(name)
        bound = query.bind(given)
    except QueryFault as fault:
        raise UserError(str(fault)) from fault
    with one_line_errors():
        # a named query needs no check
        rows = _clickhouse().query(query.sql, bound, readonly=2).result_rows
    _print(list(query.columns), rows, as_json=as_json, as_csv=as_csv)


def _clickhouse() -> "ClickHouse":
    from sinks.clickhouse import ClickHouse

    return ClickHouse(load_settings().clickhouse)


def _parameters(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UserError(f"--param {each!r} is not NAME=VALUE")
        found[name] = value
    return found


def _print(names: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        listed = [{name: _json(cell) for name, cell in zip(names, row, strict=True)} for row in rows]
        echo_json_text(json.dumps(listed, indent=2, ensure_ascii=False, default=_plain))
    elif as_csv:
        echo_csv(names, ([_plain_cell(cell) for cell in row] for row in rows))
    else:
        echo_text(table(names, ([_cut(_plain_cell(cell)) for cell in row] for row in rows)))
        echo_line(f"{len(rows)} rows")


def _json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are text, as ClickHouse writes them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return value


def _plain_cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain).strip('"')


def _cut(cell: Any) -> Any:
    """Long texts and line breaks would break the table; `--json` and `--csv` print them whole."""
    if not isinstance(cell, str):
        return cell
    line = " ".join(cell.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        # without a zone it is UTC, in the client and in every column of ours
        return value.isoformat(timespec="milliseconds") + ("" if value.tzinfo else "Z")
    return str(value)


def _list(as_json: bool) -> None:
    if as_json:
        listed = [
            {
                "name": query.name,
                "about": query.about,
                "parameters": {each.name: each.meaning for each in query.parameters},
                "columns": dict(query.columns),
            }
            for query in named_queries().values()
        ]
        echo_json(listed)
        return
    rows = [
        (query.name, query.about, ", ".join(each.name for each in query.parameters))
        for query in named_queries().values()
    ]
    echo_text(table(("QUERY", "ANSWERS", "PARAMETERS"), rows))
