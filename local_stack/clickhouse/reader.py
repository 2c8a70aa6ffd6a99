"""Checks of a reader's request, which may only read tables, see `sinks.read_only`."""

import re
from collections.abc import Callable

from local_stack.clickhouse.request import BAD_ARGUMENTS, READONLY, SYNTAX_ERROR, Query, QueryError, refused
from sinks import read_only
from sinks.read_only import Limits, NotReadOnly

Ask = Callable[[str, dict[str, str]], str]
"""One row of a query with parameters, its columns separated by tabs. Raises `QueryError`."""

# the engine names the query that parses, which is ours
_SCOPE = re.compile(r": In scope .*(?= \(\w+\)$)", re.DOTALL)
# as the value of a parameter, which the engine reads as a field of TabSeparated
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def admit(query: Query, limits: Limits, ask: Ask) -> dict[str, str]:
    """The settings with which a reader's request runs. Raises `QueryError` unless it only reads tables."""

    def parse(statement: str) -> tuple[str, bool]:
        try:
            row = ask(read_only.PARSE, {"statement": statement.translate(_ESCAPES)})
        except QueryError as error:
            if error.code == BAD_ARGUMENTS:
                raise NotReadOnly(read_only.ALLOWED) from None
            raise QueryError(error.code, _SCOPE.sub("", error.text)) from None
        tree, _, is_whole = row.rpartition("\t")
        return tree, is_whole == "1"

    try:
        settings = read_only.reader_settings(query.settings, limits)
        read_only.check(query.text.decode(), query.parameters, limits, parse)
    except NotReadOnly as error:
        raise refused(READONLY, "READONLY", str(error)) from None
    except UnicodeDecodeError as error:
        raise refused(SYNTAX_ERROR, "SYNTAX_ERROR", f"the statement is not UTF-8: {error}") from None
    return settings | {"readonly": "2"}
