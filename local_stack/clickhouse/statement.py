"""One statement, and where the inline data of an INSERT begins.

The embedded engine reads a whole request as a script, in which a blank line ends the inline data of an
INSERT: data with two newlines in a row, as in any binary format, would be cut there. So this module
separates the data from the statement. It also refuses several statements in one request, as a server does.
"""

import re
from dataclasses import dataclass

from local_stack.clickhouse.request import SYNTAX_ERROR, refused

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    |(?P<word>\w+)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_BEFORE_DATA = re.compile(rb"[ \t\f]*;?[ \t\f]*\r?\n?")
_NO_DATA = frozenset([b"SELECT", b"WITH", b"WATCH", b"FROM"])


@dataclass(frozen=True, slots=True)
class InlineInsert:
    """An INSERT with its data: the statement up to SETTINGS, FORMAT or VALUES, its own SETTINGS clause
    or nothing, the format, the data."""

    statement: str
    settings: str
    format: str
    data: memoryview


def split(text: bytes) -> InlineInsert | None:
    """`text` in its parts; None if it is no INSERT with inline data.

    Raises `QueryError` if there is more than one statement.
    """
    depth = 0
    before = b""
    may_hold_data: bool | None = None
    settings_at: int | None = None
    format_at: int | None = None
    ended = False
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token.group()
        if kind == "space":
            continue
        if ended:
            raise refused(SYNTAX_ERROR, "SYNTAX_ERROR", "Multi-statements are not allowed")
        if kind == "word":
            word = found.upper()
            if may_hold_data is None:
                may_hold_data = word == b"INSERT"
            elif format_at is not None:
                return _parts(text, settings_at, format_at, found.decode(), token.end())
            # a table may be called `format` or `values`
            elif may_hold_data and depth == 0 and before not in (b"INTO", b"TABLE", b"."):
                if word == b"VALUES":
                    return _parts(text, settings_at, token.start(), "Values", token.end())
                if word == b"FORMAT":
                    format_at = token.start()
                if word == b"SETTINGS":
                    settings_at = token.start()
                may_hold_data = word not in _NO_DATA
            found = word
        before = found
        depth += {b"(": 1, b")": -1}.get(found, 0)
        ended = found == b";"
    return None


def _parts(text: bytes, settings_at: int | None, end: int, data_format: str, after: int) -> InlineInsert:
    gap = _BEFORE_DATA.match(text, after)
    start = gap.end() if gap else after
    head = end if settings_at is None else settings_at
    return InlineInsert(
        text[:head].decode().strip(), text[head:end].decode().strip(), data_format, memoryview(text)[start:]
    )
