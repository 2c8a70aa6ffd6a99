"""Golden rows: what the sink lands of each topic's sample and examples, in `tests/golden/rows`.

`python -m tests.contract.golden_rows [--check]` writes them; it is part of `make generate`.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from schemas.examples import examples
from scripts.generated import run
from sinks.rows import row_maker
from sinks.tables import Table, tables
from tests.samples import landing, sample_row

GOLDEN = Path(__file__).parents[1] / "golden" / "rows"


def sample_path(topic: str, *, bare: bool) -> Path:
    """The file of a sample's row."""
    return GOLDEN / f"{topic}{'.bare' if bare else ''}.json"


def sample_text(topic: str, *, bare: bool) -> str:
    """The row of a record with every field set, or with all absent that may be."""
    table = tables()[topic]
    return shown(table, sample_row(table, bare=bare))


def examples_path(topic: str) -> Path:
    """The file of the rows of a topic's examples."""
    return GOLDEN / f"{topic}.examples.json"


def examples_text(topic: str) -> str:
    """The rows of a topic's examples."""
    table = tables()[topic]
    return "".join(shown(table, row_maker(table)(record, landing(topic))) for record in examples(topic))


def wanted() -> dict[Path, str]:
    """What each golden file must hold; empty: there must be no such file."""
    found = dict.fromkeys(GOLDEN.glob("*.json"), "")
    for topic, table in tables().items():
        for bare in (False, True):
            found[sample_path(topic, bare=bare)] = sample_text(topic, bare=bare)
        if table.topic.record:
            found[examples_path(topic)] = examples_text(topic)
    return found


def shown(table: Table, values: tuple[Any, ...]) -> str:
    """A row as readable JSON: column to value."""
    assert len(values) == len(table.landed)
    named = {column.name: plain(value) for column, value in zip(table.landed, values, strict=True)}
    return json.dumps(named, indent=2, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """`value` as JSON can carry it; bytes as a text that says so, long ones (whole records) by their size."""
    if isinstance(value, bytes):
        return repr(value) if len(value) <= 64 else f"<{len(value)} bytes>"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(run(wanted, sys.argv[1:]))
