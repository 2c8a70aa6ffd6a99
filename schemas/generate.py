"""Generates files from other files of this folder: `python -m schemas.generate [--check]`.

The Avro schemas alone describe the records, and `records.py` holds their Python types. `stages.yaml` is the
one list of stages, and `topics/` holds the topics derived from it. Tests check that they agree.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from schemas.catalog import AVSC, NAMESPACE, TOPICS, references, topics
from schemas.child_environment import RUFF, kept
from schemas.errors import CatalogError
from schemas.stage_topics import left_over, topic_files
from schemas.stages import stages

TARGET = Path(__file__).with_name("records.py")
_PRIMITIVES = {
    "string": "str",
    "long": "Long",
    "int": "Int",
    "double": "float",
    "boolean": "bool",
    "bytes": "bytes",
}


def _load() -> dict[str, dict[str, Any]]:
    return {(schema := json.loads(path.read_text()))["name"]: schema for path in sorted(AVSC.glob("*.avsc"))}


def _ordered(schemas: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The schemas, each after those that it refers to."""
    done: dict[str, dict[str, Any]] = {}

    def visit(name: str) -> None:
        if name not in done:
            for needed in references(schemas[name]):
                visit(needed.removeprefix(f"{NAMESPACE}."))
            done[name] = schemas[name]

    for name in schemas:
        visit(name)
    return list(done.values())


def _python(schema: Any) -> str:
    """The Python type of an Avro type."""
    if isinstance(schema, str):
        return _PRIMITIVES.get(schema) or schema.removeprefix(f"{NAMESPACE}.")
    if isinstance(schema, list):
        [inner] = [branch for branch in schema if branch != "null"]
        return f"{_python(inner)} | None"
    if schema.get("logicalType") == "timestamp-millis":
        return "Timestamp"
    if schema["type"] == "array":
        return f"tuple[{_python(schema['items'])}, ...]"
    if schema["type"] == "map":
        return f"dict[str, {_python(schema['values'])}]"
    return _python(schema["type"])


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    if value == []:
        return " = ()"
    return f" = {value!r}"


def _render(schema: dict[str, Any]) -> str:
    if schema["type"] == "enum":
        symbols = ", ".join(repr(symbol) for symbol in schema["symbols"])
        return f"# {schema['doc']}\n{schema['name']} = Literal[{symbols}]\n"
    lines = [
        f"class {schema['name']}(Record):",
        f'    """{schema["doc"]}"""',
        "",
        f'    schema_name: ClassVar[str] = "{NAMESPACE}.{schema["name"]}"',
        "",
    ]
    for field in schema["fields"]:
        lines.append(f"    {field['name']}: {_python(field['type'])}{_default(field)}")
        lines.append(f'    """{field["doc"]}"""')
    return "\n".join(lines) + "\n"


def render() -> str:
    """The whole module as text."""
    body = "\n\n".join(_render(schema) for schema in _ordered(_load()))
    text = (
        '"""Typed records, generated from `schemas/avsc` by `python -m schemas.generate`: do not edit."""\n\n'
        "from typing import ClassVar, Literal\n\n"
        "from schemas.record import Int, Long, Record, Timestamp\n\n\n" + body
    )
    formatted = subprocess.run(
        [sys.executable, "-P", "-m", "ruff", "format", "--isolated", "--line-length", "110", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env=kept(RUFF),
    )
    return formatted.stdout


def main(arguments: list[str]) -> int:
    """Writes the files, or with `--check` only compares.

    Exit code 3 where one is stale, 2 where the folder itself is wrong.
    """
    try:
        wanted = {TARGET: render(), **topic_files(stages(), topics(), TOPICS)}
    except CatalogError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    orphans = left_over(wanted, TOPICS)
    if "--check" in arguments:
        for path in [*stale, *orphans]:
            sys.stderr.write(f"{path} is stale: run `python -m schemas.generate`\n")
        return 3 if stale or orphans else 0
    for path in stale:
        path.write_text(wanted[path])
    for path in orphans:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
