"""The named analyst queries in `sinks/queries`: what each answers, its parameters, its columns.

A file begins with comments: a sentence on its first line and more below it, then `Parameters:` with one
`name Type = default: meaning` a line (without a default it must be given), then `Columns:` with one
`name: meaning` a line. The SQL has a parameter as `{name:Type}`, and ClickHouse binds it.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

QUERIES = Path(__file__).parent / "queries"

_PARAMETER = re.compile(r"(\w+) ([\w()]+)(?: = (\S+|'[^']*'))?: (.+)")
_COLUMN = re.compile(r"(\w+): (.+)")


class QueryFault(Exception):
    """A query that does not exist, or a parameter that is unknown or missing; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; without a default it must be given."""

    name: str
    type: str
    default: str | int | float | None
    meaning: str


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """One query. `about` is its first sentence, `columns` name to meaning in order."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    columns: Mapping[str, str]
    sql: str

    def bind(self, given: Mapping[str, str]) -> dict[str, str | int | float]:
        """The value of every parameter. Raises QueryFault."""
        known = {parameter.name: parameter for parameter in self.parameters}
        if unknown := sorted(given.keys() - known.keys()):
            raise QueryFault(
                f"query {self.name} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}"
            )
        bound: dict[str, str | int | float] = {}
        for name, parameter in known.items():
            value = given.get(name, parameter.default)
            if value is None:
                raise QueryFault(
                    f"query {self.name} needs {name} ({parameter.meaning}): --param {name}=VALUE"
                )
            bound[name] = value
        return bound


@cache
def named_queries() -> dict[str, NamedQuery]:
    """Every query by name. Raises QueryFault naming a file whose comments are not in the form above."""
    return {path.stem: _read(path) for path in sorted(QUERIES.glob("*.sql"))}


def named_query(name: str) -> NamedQuery:
    """One query. Raises QueryFault where there is none of that name."""
    found = named_queries().get(name)
    if found is None:
        raise QueryFault(f"there is no query {name!r}; there are {', '.join(named_queries())}")
    return found


def _read(path: Path) -> NamedQuery:
    lines = path.read_text().splitlines()
    comments = [line[2:].strip() for line in lines[: _end_of_comments(lines)]]
    about, parameters, columns = comments[0], [], {}
    section = ""
    for line in comments:
        if line in ("Parameters:", "Columns:"):
            section = line
        elif section == "Parameters:" and line:
            match = _PARAMETER.fullmatch(line)
            if match is None:
                raise QueryFault(f"{path}: {line!r} is not `name Type = default: meaning`")
            name, kind, default, meaning = match.groups()
            parameters.append(Parameter(name, kind, ast.literal_eval(default) if default else None, meaning))
        elif section == "Columns:" and line:
            match = _COLUMN.fullmatch(line)
            if match is None:
                raise QueryFault(f"{path}: {line!r} is not `name: meaning`")
            columns[match.group(1)] = match.group(2)
    return NamedQuery(path.stem, about, tuple(parameters), columns, path.read_text())


def _end_of_comments(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
