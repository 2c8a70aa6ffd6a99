"""Records as rows, held as golden files in `tests/golden/rows`; `make generate` writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from sinks.rows import bounded, dead_letter_row, row_maker
from sinks.tables import DEAD_LETTERS, tables
from streams.core.message import from_milliseconds
from tests.contract.golden_rows import GOLDEN, examples_path, examples_text, sample_path, sample_text
from tests.samples import NOON, landing, sample


@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
@pytest.mark.parametrize("topic", tables())
def test_the_row_of_a_record_is_the_golden_one(topic: str, bare: bool) -> None:
    assert sample_path(topic, bare=bare).read_text() == sample_text(topic, bare=bare)


@pytest.mark.parametrize("topic", [name for name, table in tables().items() if table.topic.record])
def test_the_rows_of_the_examples_are_the_golden_ones(topic: str) -> None:
    assert examples_path(topic).read_text() == examples_text(topic)


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
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (2**62, datetime(2299, 12, 31, tzinfo=UTC)),
        (-(2**62), datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_any_kafka_timestamp_can_be_landed(milliseconds: int, wanted: datetime) -> None:
    assert bounded(from_milliseconds(milliseconds)) == wanted


def test_a_time_that_clickhouse_cannot_carry_is_held_at_the_nearest_that_it_can() -> None:
    assert bounded(datetime(1, 1, 1, tzinfo=UTC)) == datetime(1900, 1, 1, tzinfo=UTC)
    assert bounded(datetime(9999, 12, 31, tzinfo=UTC)) == datetime(2299, 12, 31, tzinfo=UTC)
    assert bounded(NOON) == NOON


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
