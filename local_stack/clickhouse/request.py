"""An HTTP request to ClickHouse as a query, and the headers of its answer.

Sources: the HTTP interface of ClickHouse, https://clickhouse.com/docs/interfaces/http.
"""

import base64
import binascii
import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import cramjam

# parameters that the HTTP layer of a server keeps for itself, or that have no meaning in process
TRANSPORT = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "role",
        "query_id",
        "stacktrace",
        "compress",
        "decompress",
        "session_id",
        "session_timeout",
        "session_check",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    ]
)

# chunks of these formats, one after another, are the format again; others have a header or a footer
STREAMABLE = frozenset(["Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"])

# best first: on the loopback interface speed counts, not size
CODECS = {
    "lz4": cramjam.lz4,
    "zstd": cramjam.zstd,
    "gzip": cramjam.gzip,
    "deflate": cramjam.zlib,
    "br": cramjam.brotli,
}
WORTH_COMPRESSING = 4096

READER = "reader"
"""User whose requests only read, as those by GET; every other name may do anything."""

# cramjam's message when the output does not fit
_NO_ROOM = "failed to write whole buffer"
# formats that the engine's Python package answers with objects instead of bytes
_PYTHON_OBJECTS = frozenset(["dataframe", "arrowtable"])

_TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_WORD = re.compile(rb"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(\w*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CODE = re.compile(r"Code: (\d+)\.")
_RETURNS_ROWS = frozenset(
    ["SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "VALUES", "FROM"]
)

UNKNOWN_SETTING, CANNOT_DECOMPRESS, SESSION_NOT_FOUND, SESSION_IS_LOCKED = 115, 271, 372, 373
NOT_IMPLEMENTED, ACCESS_DENIED, SYNTAX_ERROR, LOGICAL_ERROR = 48, 497, 62, 49
BAD_ARGUMENTS, UNKNOWN_FORMAT, READONLY, TOO_MANY_BYTES = 36, 73, 164, 307
_STATUS_OF_CODE = {
    **dict.fromkeys([6, 8, 26, 27, 36, 38, 41, 42, 43, 53, 62, 69, 70, 72, 117, 131, 271, 321, 395], 400),
    **dict.fromkeys([497], 403),
    **dict.fromkeys([46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336], 404),
    159: 408,
    307: 413,
    48: 501,
}


class QueryError(Exception):
    """An error in ClickHouse's terms: its code and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status that a server answers."""
        return _STATUS_OF_CODE.get(self.code, 500)


def engine_error(message: str) -> QueryError:
    """The error in a message of the engine."""
    found = _CODE.search(message)
    text = message[found.start() :] if found else f"Code: {LOGICAL_ERROR}. DB::Exception: {message}"
    return QueryError(int(found.group(1)) if found else LOGICAL_ERROR, text.strip())


def refused(code: int, name: str, text: str) -> QueryError:
    """An error of this front, in the engine's form."""
    return QueryError(code, f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass(frozen=True, slots=True)
class Query:
    """One request: the statement with its inline data, and how to run it."""

    text: bytes
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    default_format: str = "TabSeparated"
    session_id: str | None = None
    session_timeout: float = 60.0
    session_must_exist: bool = False
    read_only: bool = False
    wait: bool = False
    tag: str = ""
    """Names this run of it, for `Engine.cancel`; empty: it cannot be cancelled."""

    @property
    def keyword(self) -> str:
        """First word of the statement, in upper case."""
        found = _WORD.match(self.text)
        return found.group(1).decode(errors="replace").upper() if found else ""

    @property
    def returns_rows(self) -> bool:
        """Whether the statement answers with rows, be they none."""
        return self.keyword in _RETURNS_ROWS

    @property
    def output_format(self) -> str:
        """Format of the answer: the statement's own, else the request's."""
        found = _TRAILING_FORMAT.search(self.text[-200:]) if self.returns_rows else None
        return found.group(1).decode() if found else self.default_format

    @property
    def streaming(self) -> bool:
        """Whether rows go out while the engine still reads; only where the statement names the format."""
        named = _TRAILING_FORMAT.search(self.text[-200:]) is not None
        return named and self.returns_rows and not self.wait and self.output_format in STREAMABLE


def parse(
    method: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    form: Mapping[str, str],
    body: bytes,
) -> Query:
    """The query of a request; `form` are its multipart fields, `body` is decompressed already.

    Raises `QueryError` for what a server would refuse or what only a server can do.
    """
    values = {**parameters, **form}
    for name in ("compress", "decompress"):
        if values.get(name, "0") not in ("0", ""):
            raise refused(
                NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"{name}=1 is not supported here, use HTTP compression"
            )
    # a statement in the address is followed by its data in the body
    parts = [part for part in (values.get("query", "").encode(), body) if part]
    for name in values:
        if not _NAME.fullmatch(name):
            raise refused(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    settings = {
        name: value
        for name, value in values.items()
        if name not in TRANSPORT and not name.startswith("param_")
    }
    try:
        timeout = float(values.get("session_timeout", "60"))
    except ValueError:
        raise refused(
            BAD_ARGUMENTS, "BAD_ARGUMENTS", f"session_timeout is {values['session_timeout']!r}, not seconds"
        ) from None
    default_format = values.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    if not _NAME.fullmatch(default_format) or default_format.lower() in _PYTHON_OBJECTS:
        raise refused(UNKNOWN_FORMAT, "UNKNOWN_FORMAT", f"Unknown format {default_format}")
    # any request for a read-only mode gets all of it; the setting alone would allow file() to a reader
    readonly = settings.pop("readonly", "0")
    return Query(
        text=b"\n".join(parts),
        settings=settings,
        parameters={name[6:]: value for name, value in values.items() if name.startswith("param_")},
        database=values.get("database") or headers.get("x-clickhouse-database") or None,
        default_format=default_format,
        session_id=values.get("session_id") or None,
        session_timeout=timeout,
        session_must_exist=values.get("session_check") == "1",
        read_only=method != "POST" or readonly != "0" or _user(values, headers) == READER,
        wait=values.get("wait_end_of_query") == "1",
    )


def _user(values: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The name that the client gives itself; it is not checked, because a name can only reduce rights."""
    name = values.get("user") or headers.get("x-clickhouse-user")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if name or scheme.lower() != "basic":
        return name or ""
    try:
        return base64.b64decode(token).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise refused(ACCESS_DENIED, "ACCESS_DENIED", "the Authorization header cannot be read") from None


def decompress(encoding: str, body: bytes, limit: int) -> bytes:
    """The body as it was before `Content-Encoding`, at most `limit` bytes. Raises `QueryError`."""
    if encoding in ("", "identity"):
        return body
    if encoding not in CODECS:
        raise refused(
            NOT_IMPLEMENTED,
            "NOT_IMPLEMENTED",
            f"Content-Encoding {encoding!r}; known are {', '.join(CODECS)}",
        )
    # a mapping takes memory only as it is written (a bytearray at once); no codec writes past its end
    with mmap.mmap(-1, limit) as room:
        try:
            size = CODECS[encoding].decompress_into(body, room)
        except cramjam.DecompressionError as error:
            if str(error) == _NO_ROOM:
                what = f"{len(body)} bytes of {encoding} are more than {limit} bytes"
                raise too_large(what, limit) from None
            raise refused(
                CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"the body is not {encoding}: {error}"
            ) from None
        return room[:size]


def too_large(what: str, limit: int) -> QueryError:
    """A body over the limit; 413."""
    text = f"{what}; a body may have {limit}, compressed and decompressed: send fewer rows at once"
    return refused(TOO_MANY_BYTES, "TOO_MANY_BYTES", text)


def chosen_encoding(accepted: str, enabled: bool, size: int) -> str | None:
    """The response's `Content-Encoding`: the fastest that the client accepts, if it asked for one."""
    if not enabled or size < WORTH_COMPRESSING:
        return None
    names = {part.partition(";")[0].strip() for part in accepted.split(",")}
    return next((name for name in CODECS if name in names), None)


def summary_header(statistics: Mapping[str, int]) -> str:
    """`X-ClickHouse-Summary`: numbers as text, as a server sends them."""
    return json.dumps({name: str(value) for name, value in statistics.items()})
