"""Output of commands: plain tables for people, JSON for machines, errors of services in one line.

All output of a command goes through here: it can contain text of records, models, experts and brokers.
"""

import base64
import csv
import dataclasses
import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from schemas.errors import SchemaError
from streams.errors import UserError
from streams.visible import visible, visible_json

TEXT = "\t\n"
"""Control characters that a text of several lines may have."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; None is an empty cell, numbers are right-aligned."""
    body = [list(row) for row in rows]
    texts = [[*headers], *(["" if cell is None else str(cell) for cell in row] for row in body)]
    cells = [[visible(text) for text in row] for row in texts]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    right = [any(isinstance(row[column], int | float) for row in body) for column in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def echo(line: str, *, err: bool = False) -> None:
    """Print one line; a line break in it is printed as an escape."""
    typer.echo(visible(line), err=err)


def echo_text(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print a text of several lines; use it only if every line break is ours or intended."""
    typer.echo(visible(text, keep=TEXT) + end, err=err, nl=False)


def echo_json(found: Any) -> None:
    """Print `found` as JSON; dataclasses become objects."""
    echo_json_text(json.dumps(found, indent=2, default=_plain))


def echo_json_text(text: str) -> None:
    """Print a text that is JSON already."""
    typer.echo(visible_json(text))


def echo_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print comma-separated values; a line break within a value is kept."""
    writer = csv.writer(sys.stdout)
    for row in (headers, *rows):
        writer.writerow([visible(cell, keep=TEXT) if isinstance(cell, str) else cell for cell in row])


def echo_line(line: str) -> None:
    """Print one line of progress to stderr."""
    echo(line, err=True)


def own_command() -> str:
    """This command as the user can type it: `opoi` if PATH leads to it, else its path."""
    script = Path(sys.executable).with_name("opoi")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -P -m streams.cli.main"
    found = shutil.which("opoi")
    if found is not None and script.samefile(found):
        return "opoi"
    here = Path.cwd()
    # a bare name would be looked for on PATH again
    below = here in script.parent.parents
    return shlex.quote(str(script.relative_to(here) if below else script))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns errors of registry, broker and schemas into a `UserError` with exit code 1."""
    try:
        yield
    except SchemaError as error:
        raise UserError(str(error), exit_code=1) from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime):
        # ClickHouse's client returns UTC without a zone
        return value.isoformat(timespec="milliseconds") + ("" if value.tzinfo else "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not JSON")
