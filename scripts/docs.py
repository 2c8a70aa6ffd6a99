"""Writes the parts of the docs that are made from code: `python -m scripts.docs [--check]`.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`. What to do about a metric is written by hand
in the last column of its row; the other columns are made, and a new metric's row ends with `TODO`.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from schemas.dead_letter_kinds import KINDS
from schemas.disposition_reasons import REASONS as DISPOSITION_REASONS
from schemas.errors import CatalogError
from schemas.log_events import EVENTS
from scripts.generated import write_or_check
from sinks.named_queries import named_queries
from streams import retired_settings
from streams.gates.reason_codes import REASONS
from streams.settings import Settings
from streams.settings_errors import fields_of, variable_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("schemas", "agent", "sinks", "streams", "local_stack")
TODO = "TODO"

_PART = re.compile(r"(<!-- made: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \|.*\| (.*?) \|$", re.MULTILINE)


class Metric(NamedTuple):
    """A metric as its definition states it."""

    name: str
    kind: str
    about: str
    labels: tuple[str, ...]


def metrics() -> list[Metric]:
    """Every metric that a module defines, by name."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(one for path in files for one in _metrics_in(path.read_text()))


def _metrics_in(text: str) -> Iterator[Metric]:
    # read and not imported: one that is made in a function counts too
    if "prometheus_client" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind = node.func.id
            if kind in ("Counter", "Gauge", "Histogram", "Summary"):
                name, about, *labels = (ast.literal_eval(each) for each in node.args)
                yield Metric(name, kind.lower(), about, tuple(labels[0]) if labels else ())


def metrics_table(before: str) -> str:
    """The metrics, with what `before` says is to do about each."""
    remedies = dict(_ROW.findall(before))
    rows = [
        (
            f"`{one.name}`",
            one.kind,
            ", ".join(f"`{label}`" for label in one.labels),
            one.about,
            remedies.get(one.name, TODO),
        )
        for one in metrics()
    ]
    return _table(("metric", "kind", "labels", "meaning", "do"), rows)


def settings_table(_: str) -> str:
    """Every setting by its variable."""
    rows = []
    for path, field in fields_of(Settings):
        default = field.get_default(call_default_factory=True)
        shown = (
            "" if default is None or default in ({}, ()) or isinstance(default, SecretStr) else f"`{default}`"
        )
        rows.append((f"`{variable_of(path)}`", shown, " ".join((field.description or "").split())))
    return _table(("variable", "default", "meaning"), rows)


def queries_table(_: str) -> str:
    """Every named query."""
    rows = [
        (f"`{query.name}`", query.about, ", ".join(f"`{one.name}`" for one in query.parameters))
        for query in named_queries().values()
    ]
    return _table(("query", "answers", "parameters"), rows)


def reasons_table(_: str) -> str:
    """Every reason code."""
    rows = [(f"`{one.gate}`", f"`{one.code}`", one.meaning) for one in REASONS]
    return _table(("gate or rule", "reason code", "meaning"), rows)


def kinds_table(_: str) -> str:
    """Every kind of an unusable record."""
    return _table(("kind", "meaning", "do"), [(f"`{one.code}`", one.meaning, one.remedy) for one in KINDS])


def dispositions_table(_: str) -> str:
    """Every reason of a disposition that no other list has."""
    rows = [
        (f"`{one.code}`", ", ".join(one.outcomes), one.meaning, one.remedy) for one in DISPOSITION_REASONS
    ]
    return _table(("reason", "outcome", "meaning", "do"), rows)


def events_table(_: str) -> str:
    """Every log event."""
    rows = [(f"`{one.text}`", one.level, one.meaning, one.remedy) for one in EVENTS.values()]
    return _table(("event", "level", "meaning", "do"), rows)


def retired_table(_: str) -> str:
    """Every retired setting."""
    return retired_settings.markdown() + "\n"


PARTS: Mapping[str, Callable[[str], str]] = {
    "metrics": metrics_table,
    "settings": settings_table,
    "queries": queries_table,
    "reasons": reasons_table,
    "kinds": kinds_table,
    "dispositions": dispositions_table,
    "events": events_table,
    "retired": retired_table,
}
"""Name of a part to its text, given the text that is there."""


def pages() -> dict[Path, str]:
    """What each page of the docs must hold. Raises CatalogError unless each part is in exactly one."""
    found: list[str] = []

    def made(match: re.Match[str]) -> str:
        start, name, before, end = match.groups()
        found.append(name)
        return f"{start}{PARTS[name](before)}{end}" if name in PARTS else match.group()

    texts = {path: _PART.sub(made, path.read_text()) for path in sorted(DOCS.glob("*.md"))}
    if sorted(found) != sorted(PARTS):
        raise CatalogError(
            f"{DOCS} has the made parts {', '.join(sorted(found))}, but must have each of these once: "
            f"{', '.join(sorted(PARTS))}; a part is between `<!-- made: NAME -->` and `<!-- end -->`"
        )
    return texts


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def main(arguments: list[str]) -> int:
    """Writes the pages, or with `--check` only compares.

    Exit code 3 where one is stale or lacks what is written by hand, 2 where the pages themselves are wrong.
    """
    try:
        wanted = pages()
    except CatalogError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    code = write_or_check(wanted, arguments)
    for path in (path for path, text in wanted.items() if f"| {TODO} |" in text):
        sys.stderr.write(f"{path}: write what to do in place of {TODO}; `-` means nothing\n")
        if "--check" in arguments:
            code = 3
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
