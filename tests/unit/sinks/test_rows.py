"""Records as rows, held as golden files in `tests/golden/rows`; UPDATE_GOLDEN=1 writes them anew."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.examples import examples
from sinks.rows import dead_letter_row, kafka_time, row_maker
from sinks.tables import DEAD_LETTERS, Table, tables
from tests.samples import NOON, landing, sample, sample_row

UPDATE = "UPDATE_GOLDEN"
GOLDEN = Path(__file__).parents[2] / "golden" / "rows"


def shown(table: Table, values: tuple[Any, ...]) -> str:
    """A row as readable JSON: column to value."""
    assert len(values) == len(table.landed)
    named = {column.name: plain(value) for column, value in zip(table.landed, values, strict=True)}
    return json.dumps(named, indent=2, ensure_ascii=False) + "\n"


def check(golden: Path, text: str) -> None:
    """Compares with a golden file, or writes it."""
    if os.environ.get(UPDATE):
        golden.write_text(text)
    assert golden.read_text() == text


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


@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
@pytest.mark.parametrize("topic", tables())
def test_the_row_of_a_record_is_the_golden_one(topic: str, bare: bool) -> None:
    table = tables()[topic]
    check(GOLDEN / f"{topic}{'.bare' if bare else ''}.json", shown(table, sample_row(table, bare=bare)))


@pytest.mark.parametrize("topic", [name for name, table in tables().items() if table.topic.record])
def test_the_rows_of_the_examples_are_the_golden_ones(topic: str) -> None:
    table = tables()[topic]
    rows = [row_maker(table)(record, landing(topic)) for record in examples(topic)]
    text = "".join(shown(table, values) for values in rows)
    check(GOLDEN / f"{topic}.examples.json", text)


def test_every_golden_file_belongs_to_a_topic() -> None:
    wanted = {f"{topic}{kind}.json" for topic in tables() for kind in ("", ".bare")}
    wanted |= {f"{name}.examples.json" for name, table in tables().items() if table.topic.record}
    assert {path.name for path in GOLDEN.glob("*.json")} == wanted


def test_a_record_that_is_null_leaves_its_columns_null() -> None:
    table = tables()["opoi.reviews"]
    values = dict(
        zip(
            (column.name for column in table.landed),
            row_maker(table)(sample("Review", bare=True), landing("opoi.reviews")),
            strict=True,
        )
    )
    assert values["verdict_verdict_id"] is None
    assert values["verdict_adjudicates"] == []


@pytest.mark.parametrize(
    ("milliseconds", "wanted"),
    [
        (1772366400123, NOON + timedelta(milliseconds=123)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (2**62, datetime(2299, 12, 31, tzinfo=UTC)),
        (-(2**62), datetime(1900, 1, 1, tzinfo=UTC)),
    ],
)
def test_any_kafka_timestamp_can_be_landed(milliseconds: int, wanted: datetime) -> None:
    assert kafka_time(milliseconds) == wanted


def test_of_a_repeated_header_the_last_value_is_landed_and_a_null_one_as_empty() -> None:
    table = tables()[DEAD_LETTERS]
    headers = [("orig.a", b"1"), ("orig.null", None), ("orig.a", b"2")]
    row = dead_letter_row(b"x", headers, landing(DEAD_LETTERS))
    place = [column.name for column in table.landed].index("headers")
    assert row[place] == {b"orig.a": b"2", b"orig.null": b""}


def test_a_dead_letter_with_unreadable_headers_is_landed_as_that() -> None:
    table = tables()[DEAD_LETTERS]
    values = dict(
        zip(
            (column.name for column in table.landed),
            dead_letter_row(b"x", [("dlq.stage", None)], landing(DEAD_LETTERS)),
            strict=True,
        )
    )
    assert (values["error_type"], values["topic"], values["offset"]) == (
        "unreadable_headers",
        DEAD_LETTERS,
        7,
    )
