"""Generates the migration from `sinks/migrations` to the Avro schemas: `python -m sinks.generate [--check]`.

The migrations are the history, the schemas the goal. Without any migration, the tables go to
`0001_landing.sql` and the views to `0002_views.sql`; later the difference goes to the next number:
new tables, new or changed columns, changed views. What no generator should decide (another sort key,
a dropped column) is written by hand, in the same form: one column a line.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from sinks import ddl
from sinks.migrations_folder import MIGRATIONS, migrations
from sinks.tables import INSERTED_AT, Table, tables

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\n\(\n(.*)\n\)\nENGINE(.*)", re.DOTALL)
_TTL = re.compile(r"^TTL (.*)$", re.MULTILINE)
_ALTER = re.compile(
    r"ALTER TABLE (\w+) (?:(?:ADD COLUMN IF NOT EXISTS|MODIFY COLUMN) (`\w+`.*?)(?: AFTER `\w+`)?"
    r"|DROP COLUMN IF EXISTS `(\w+)`|MODIFY TTL (.*));"
)
_VIEW = re.compile(r"(CREATE OR REPLACE VIEW (\w+) .*|DROP VIEW IF EXISTS (\w+));", re.DOTALL)


@dataclass
class State:
    """Tables (columns and TTL) and views that a list of statements adds up to."""

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    ttl: dict[str, str] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)

    def apply(self, statement: str) -> None:
        """Applies one statement; one of an unknown form changes nothing."""
        if found := _TABLE.fullmatch(statement):
            name, lines, tail = found.groups()
            self.columns[name] = {_name(line): line for line in _column_lines(lines)}
            self.ttl[name] = match.group(1) if (match := _TTL.search(tail)) else ""
        elif found := _ALTER.fullmatch(statement):
            name, definition, dropped, ttl = found.groups()
            if definition:
                self.columns[name][_name(definition)] = definition
            elif dropped:
                del self.columns[name][dropped]
            else:
                self.ttl[name] = ttl
        elif found := _VIEW.fullmatch(statement):
            text, made, dropped = found.groups()
            if made:
                self.views[made] = text
            else:
                del self.views[dropped]


def committed() -> State:
    """The state after all migrations of the folder."""
    state = State()
    for migration in migrations():
        for statement in migration.statements:
            state.apply(statement)
    return state


def difference(state: State, wanted: dict[str, Table]) -> tuple[list[str], list[str]]:
    """Statements that `state` lacks: for tables, for views."""
    changed = [statement for table in wanted.values() for statement in _alterations(state, table)]
    touched = {match.group(1) for text in changed if (match := re.match(r"ALTER TABLE (\w+) ", text))}
    views = [
        statement
        for table in wanted.values()
        for name, statement in ddl.views(table)
        # a view's columns are fixed when it is created
        if table.name in touched or state.views.get(name) != statement.removesuffix(";")
    ]
    inputs = ddl.stage_inputs(wanted)
    if state.views.get("stage_inputs") != inputs.removesuffix(";"):
        views.append(inputs)
    return changed, views


def _alterations(state: State, table: Table) -> list[str]:
    if table.name not in state.columns:
        return [ddl.create_table(table)]
    there = state.columns[table.name]
    statements, after = [], ""
    for column in (*table.landed, INSERTED_AT):
        definition = ddl.column(column)
        if column.name not in there:
            place = f" AFTER `{after}`" if after else ""
            statements.append(f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {definition}{place};")
        elif there[column.name] != definition:
            statements.append(f"ALTER TABLE {table.name} MODIFY COLUMN {definition};")
        after = column.name
    ttl = "".join(ddl.ttl(table)).removeprefix("TTL ")
    if ttl and ttl != state.ttl[table.name]:
        statements.append(f"ALTER TABLE {table.name} MODIFY TTL {ttl};")
    return statements


def _column_lines(lines: str) -> list[str]:
    """The columns' definitions, each on one line as `ddl.column` gives it."""
    columns = re.split(r",\n    (?=\S)", lines.removeprefix("    "))
    return [_one_line(text) for text in columns if text.startswith("`")]


def _one_line(definition: str) -> str:
    return re.sub(r"\n\s*", " ", re.sub(r"(?<=\()\n\s*|\n\s*(?=\))", "", definition))


def _name(definition: str) -> str:
    return definition.split("`")[1]


def _write(name: str, about: str, statements: list[str]) -> None:
    number = 1 + max((migration.number for migration in migrations()), default=0)
    path = MIGRATIONS / f"{number:04}_{name}.sql"
    path.write_text(f"-- {about}\n\n" + "\n\n".join(statements) + "\n")
    sys.stdout.write(f"{_shown(path)} written\n")


def _shown(path: Path) -> str:
    return f"sinks/migrations/{path.name}"


def main(arguments: list[str]) -> int:
    """Writes the missing migration, or with `--check` only looks. Exit code 3 where one is missing."""
    first = not migrations()
    changed, views = difference(committed(), tables())
    if "--check" in arguments:
        if not changed and not views:
            return 0
        sys.stderr.write("\n".join([*changed, *views]) + "\n")
        sys.stderr.write("sinks/migrations lacks the above: run `python -m sinks.generate`\n")
        return 3
    if first:
        _write("landing", "Landing tables: one per topic, one row per Kafka coordinate.", changed)
        _write("views", "Views by identity: what readers use.", views)
    elif changed or views:
        _write("schemas", "Follows the Avro schemas.", [*changed, *views])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
