"""Splitting an INSERT from its inline data."""

import pytest

from local_stack.clickhouse.request import QueryError
from local_stack.clickhouse.statement import split


@pytest.mark.parametrize(
    ("text", "statement", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t", "CSV", b"1,2\n"),
        (b"insert into t (a, b) format Native\n\n\n", "insert into t (a, b)", "Native", b"\n\n"),
        (b"INSERT INTO t FORMAT CSV 1,2", "INSERT INTO t", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV\r\n1", "INSERT INTO t", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV;\n1;2", "INSERT INTO t", "CSV", b"1;2"),
        (b"INSERT INTO t VALUES (1, 'a;b')", "INSERT INTO t", "Values", b"(1, 'a;b')"),
        (b"INSERT INTO format VALUES (1)", "INSERT INTO format", "Values", b"(1)"),
        (b"INSERT INTO db.values FORMAT TSV\nx", "INSERT INTO db.values", "TSV", b"x"),
        (
            b"INSERT INTO `a FORMAT b` (`values`) FORMAT TSV\nx",
            "INSERT INTO `a FORMAT b` (`values`)",
            "TSV",
            b"x",
        ),
        (b"INSERT INTO t -- FORMAT CSV\n FORMAT TSV\nx", "INSERT INTO t -- FORMAT CSV", "TSV", b"x"),
        (
            b"INSERT INTO t SETTINGS a = 'FORMAT' FORMAT TSV\nx",
            "INSERT INTO t|SETTINGS a = 'FORMAT'",
            "TSV",
            b"x",
        ),
        (
            b"INSERT INTO FUNCTION null('a Int8') FORMAT TSV\nx",
            "INSERT INTO FUNCTION null('a Int8')",
            "TSV",
            b"x",
        ),
        (b"INSERT INTO t FORMAT CSV", "INSERT INTO t", "CSV", b""),
    ],
)
def test_inline_data(text: bytes, statement: str, data_format: str, data: bytes) -> None:
    found = split(text)
    assert found is not None
    head, _, settings = statement.partition("|")
    assert (found.statement, found.settings) == (head, settings)
    assert (found.format, bytes(found.data)) == (data_format, data)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"SELECT 1;",
        b"SELECT ';' -- ; SELECT",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"CREATE TABLE t (format String) ENGINE = Memory",
        b"",
    ],
)
def test_no_inline_data(text: bytes) -> None:
    assert split(text) is None


@pytest.mark.parametrize("text", [b"SELECT 1; SELECT 2", b"INSERT INTO t SELECT 1; DROP TABLE t"])
def test_more_than_one_statement_is_refused(text: bytes) -> None:
    with pytest.raises(QueryError, match="Multi-statements are not allowed"):
        split(text)
