"""Decides whether a statement is read-only, on the tree that ClickHouse itself parses.

ClickHouse's own `readonly = 2` lets a reader write and read files: `INTO OUTFILE`, `file()`, `url()` and
some eighty table functions more. So an untrusted statement is checked here before it runs. There are lists of
what is allowed: kinds of statements, nodes of the tree, table functions, settings. Scalar functions are the
exception: nearly all of the 1,500 only compute, so those that do more are listed as refused, and
`tests/engine/test_read_only.py` fails for functions of a new engine that nobody has reviewed.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sinks.read_only_lists import NODES, REFUSED_FUNCTIONS, SETTINGS, TABLE_FUNCTIONS

PARSE = (
    "WITH parseQueryToJSON({statement:String}) AS tree, "
    # the tree does not keep brackets around one value
    "text -> replaceRegexpAll(formatQuery(text), '[()\\\\s]', '') AS words "
    "SELECT tree, words(formatQueryFromJSON(tree)) = words({statement:String}) AS is_whole"
)
"""The query that `Parse` runs: the tree of a statement, and whether the tree is complete."""

Parse = Callable[[str], tuple[str, bool]]
"""Answers `PARSE` for one statement. Raises NotReadOnly where ClickHouse has no tree for it."""

ALLOWED = "only SELECT, EXPLAIN, SHOW, DESCRIBE and EXISTS are allowed"

_OF_CLUSTERS = frozenset(["cluster", "clusterallreplicas"])
_NAME = r"(?:[a-z_]\w*|`[a-z_]\w*`|\"[a-z_]\w*\")"
# statements without a tree, in the few forms that hold nothing but names
_PLAIN = re.compile(
    rf"""\s*(?:
        (?:DESC(?:RIBE)?(?:\s+TABLE)?
          |EXISTS(?:\s+(?:TABLE|VIEW|DICTIONARY|DATABASE))?
          |SHOW\s+CREATE(?:\s+(?:TABLE|VIEW|DICTIONARY|DATABASE))?
          |SHOW\s+SETTING
        )\s+{_NAME}(?:\.{_NAME})?
        |SHOW\s+(?:PROCESSLIST|FUNCTIONS|ENGINES|GRANTS)
    )(?:\s+FORMAT\s+\w+)?\s*;?\s*""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_DESCRIBE = re.compile(r"\s*DESC(?:RIBE)?(?:\s+TABLE)?\s*(?=\()", re.ASCII | re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class NotReadOnly(Exception):
    """A statement or setting that a reader may not use; the text says which, and what is allowed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Cannot execute query in readonly mode: {what}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one read-only query; a query may lower them."""

    seconds: int = 60
    memory_bytes: int = 1_000_000_000
    result_rows: int = 10_000_000
    result_bytes: int = 256 * 1024 * 1024
    threads: int = 64

    def settings(self) -> dict[str, int]:
        """The limits as ClickHouse settings, without threads: their number keeps its default."""
        return {name: value for name, value in self.highest().items() if name != "max_threads"}

    def highest(self) -> dict[str, int]:
        """The highest value of each setting that may be lowered."""
        return {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_result_rows": self.result_rows,
            "max_result_bytes": self.result_bytes,
            "max_threads": self.threads,
        }


def reader_settings(given: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """The settings with which a reader's request runs: `given`, within the limits.

    Raises NotReadOnly for one that a reader may not change.
    """
    highest = limits.highest()
    settings = {name: str(value) for name, value in limits.settings().items()}
    for name, value in given.items():
        if name not in highest:
            _refuse_setting(name)
            settings[name] = value
        elif _is_within(value, highest[name]):
            settings[name] = value
    return settings


def _refuse_setting(name: str) -> None:
    if name not in SETTINGS:
        raise NotReadOnly(f"setting {name!r} may not be changed; docs/for-analysts.md says which may")


def _is_within(value: object, highest: int) -> bool:
    try:
        # 0 means no limit, and the engine rounds a time below a microsecond to it
        return 0.001 <= float(str(value)) <= highest
    except ValueError:
        return False


def check(statement: str, parameters: Mapping[str, str], limits: Limits, parse: Parse) -> None:
    """Raises NotReadOnly unless `statement` only reads tables; also what `parse` raises.

    `parameters` are the values of its `{name:Type}`.
    """
    if "\0" in statement:
        raise NotReadOnly("the statement holds a NUL character: take it out")
    if _PLAIN.fullmatch(statement):
        return
    # DESCRIBE has no tree, the subquery that it describes has one
    described = _DESCRIBE.match(statement)
    text, is_whole = parse(statement[described.end() :] if described else statement)
    try:
        tree = json.loads(text)
    except RecursionError:
        raise NotReadOnly("the statement is nested too deeply: split it with WITH") from None
    if not is_whole:
        raise NotReadOnly("ClickHouse's tree of the statement is incomplete: write it in another way")
    _Walk(parameters, limits).all_of(tree)


@dataclass(frozen=True, slots=True)
class _Walk:
    parameters: Mapping[str, str]
    limits: Limits

    def all_of(self, tree: dict[str, Any]) -> None:
        """Raises NotReadOnly at the first node that is not allowed."""
        left: list[Any] = [tree]
        while left:
            found = left.pop()
            if isinstance(found, list):
                left.extend(found)
            elif isinstance(found, dict):
                left.extend(self._parts(found))

    def _parts(self, node: dict[str, Any]) -> list[Any]:
        """What is inside an allowed node."""
        kind = node.get("type")
        if kind not in NODES:
            raise NotReadOnly(f"{kind} is refused, {ALLOWED}")
        for name, value in node.items():
            if value and "outfile" in name.replace("_", ""):
                raise NotReadOnly("INTO OUTFILE writes a file: leave it out and redirect the answer")
        if kind == "Literal":
            return []
        if kind == "SetQuery":
            self._settings(node)
            return []
        if kind in ("Function", "ColumnsApplyTransformer", "Identifier"):
            # an identifier can name a function too: arrayMap(file, ...)
            self._function(str(node.get("func_name") or node.get("name") or ""))
        elif kind == "TableExpression" and "table_function" in node:
            self._table_function(node["table_function"])
        elif kind == "QueryParameter" and node["param_type"].lower() == "identifier":
            self._identifier(node["name"])
        if kind == "ExplainQuery":
            # its own settings say how much is explained
            node = {name: value for name, value in node.items() if name != "settings"}
        return list(node.values())

    @staticmethod
    def _function(name: str) -> None:
        if name.lower() in REFUSED_FUNCTIONS:
            raise NotReadOnly(
                f"{name} reaches out of the database; a column of that name needs its table before it"
            )

    @staticmethod
    def _table_function(function: dict[str, Any]) -> None:
        name = function["name"]
        if name.lower() not in TABLE_FUNCTIONS:
            raise NotReadOnly(
                f"table function {name} is not allowed; allowed are {', '.join(sorted(TABLE_FUNCTIONS))}"
            )
        if name.lower() in _OF_CLUSTERS:
            arguments = function.get("arguments", {}).get("children", [])
            if any(each["type"] not in ("Identifier", "Literal") for each in arguments):
                raise NotReadOnly(f"{name} is allowed on a table by its name only")

    def _identifier(self, parameter: str) -> None:
        value = self.parameters.get(parameter, "")
        if not _IDENTIFIER.fullmatch(value):
            raise NotReadOnly(f"parameter {parameter!r} is an Identifier and {value!r} is no plain name")
        self._function(value)

    def _settings(self, node: dict[str, Any]) -> None:
        if node.keys() - {"type", "is_standalone", "changes"}:
            raise NotReadOnly("SETTINGS may give values only, not DEFAULT")
        highest = self.limits.highest()
        for change in node["changes"]:
            name, value = change["name"], change["value"].get("value")
            if name not in highest:
                _refuse_setting(name)
            elif not _is_within(value, highest[name]):
                raise NotReadOnly(f"{name} = {value} is not between 1 and {highest[name]}")
