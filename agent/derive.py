"""Answers computed from a recorded answer that contains them: fewer fields, fewer days, sums over days.

Pure, and knows no platform: the AgentSpec says which fields add up and which are quotients. What cannot be
computed exactly (reach, frequency over several days) is not answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from agent.derive_sums import (
    KIND,
    VALUE,
    Incomputable,
    Row,
    is_computable,
    quotient,
    total_of,
    written,
)
from agent.tool_spec import Presets, Rows, ToolSpec


def derive(
    tool: ToolSpec, wanted: Mapping[str, Any], recorded: Mapping[str, Any], body: object, today: date
) -> dict[str, Any] | None:
    """The answer to `wanted`, computed from `body`, the answer to `recorded`; None where that is impossible.

    `today` is the day, in the account's time zone, on which the recorded answer was given.
    """
    if tool.rows is None or tool.dates is None:
        return None
    try:
        found = _of_entity(tool, tool.rows, wanted, recorded, _table(tool.rows, body))
        return {tool.rows.path: _rows(tool.rows, tool.dates, wanted, recorded, found, today)}
    except Incomputable:
        return None


def is_same(tool: ToolSpec, wanted: Mapping[str, Any], recorded: Mapping[str, Any], today: date) -> bool:
    """Whether both ask for the same days under different names, and are equal otherwise. False for a tool
    with rows, whose answers are derived. `today` as for `derive`."""
    if tool.rows is not None or tool.dates is None:
        return False
    try:
        one, other = (_resolved(tool.dates, arguments, today) for arguments in (wanted, recorded))
    except Incomputable:
        return False
    return one == other


def _resolved(dates: Presets, arguments: Mapping[str, Any], today: date) -> object:
    named = {dates.argument, dates.range, dates.increment}
    return _days(dates, arguments, today), _is_daily(dates, arguments), _without(arguments, named)


def _rows(
    rows: Rows,
    dates: Presets,
    wanted: Mapping[str, Any],
    recorded: Mapping[str, Any],
    found: Sequence[Row],
    today: date,
) -> list[dict[str, Any]]:
    asked, have = (_days(dates, arguments, today) for arguments in (wanted, recorded))
    if not (have[0] >= asked[0] and have[1] <= asked[1]):
        raise Incomputable
    fields, recorded_fields = _names(wanted.get(rows.fields)), set(_names(recorded.get(rows.fields)))
    if not all(name in recorded_fields or is_computable(rows, name, recorded_fields) for name in fields):
        raise Incomputable
    names = _told_apart_by(rows, wanted, recorded)
    wants = _Wanted(rows, names, fields, _windows(rows, wanted, recorded), recorded_fields)
    by_day = _is_daily(dates, wanted)
    if not _is_daily(dates, recorded):
        if asked != have or (by_day and asked[0] != asked[1]):
            raise Incomputable
        return [wants.project(row) for row in found]
    inside = [row for row in found if asked[1] <= (today - _date(row, rows)).days <= asked[0]]
    if by_day or asked[0] == asked[1]:
        return [wants.project(row) for row in inside]  # one day's row is the day, whatever does not add up
    first, last = (today - timedelta(days=days) for days in asked)
    bounds = {rows.date: first.isoformat(), rows.date_end: last.isoformat()}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in inside:
        groups.setdefault(_key(row, rows), []).append(row)
    return [wants.sum(days) | bounds for days in groups.values()]


def _days(dates: Presets, arguments: Mapping[str, Any], today: date) -> tuple[int, int]:
    """First and last day that the arguments name, counted back from `today`."""
    window = arguments.get(dates.range) if dates.range else None
    if window is not None and arguments.get(dates.argument) is not None:
        raise Incomputable
    if window is None:
        named = dates.days.get(str(arguments.get(dates.argument)))
        if named is None:
            raise Incomputable
        return named
    try:
        since, until = (date.fromisoformat(window[name]) for name in ("since", "until"))
    except (KeyError, TypeError, ValueError) as error:
        raise Incomputable from error
    if since > until:
        raise Incomputable
    return (today - since).days, (today - until).days


def _windows(rows: Rows, wanted: Mapping[str, Any], recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """The further counts that are asked for; the recording must hold them."""
    if rows.windows is None:
        return ()
    asked, have = (arguments.get(rows.windows) or () for arguments in (wanted, recorded))
    if not set(asked) <= set(have):
        raise Incomputable
    return tuple(asked)


def _of_entity(
    tool: ToolSpec,
    rows: Rows,
    wanted: Mapping[str, Any],
    recorded: Mapping[str, Any],
    table: Sequence[Row],
) -> Sequence[Row]:
    """The recorded rows that are about what is asked: all, or those of one entity below the recorded one."""
    free = {rows.fields, rows.level, rows.windows}
    if tool.dates is not None:
        free |= {tool.dates.argument, tool.dates.range, tool.dates.increment}
    names = (wanted.keys() | recorded.keys()) - free
    differing = {name for name in names if wanted.get(name) != recorded.get(name)}
    level = recorded.get(rows.level) if rows.level else None
    asked = wanted.get(rows.level) if rows.level else None
    if not differing:
        if asked != level:
            raise Incomputable
        return table
    if differing != {tool.entity} or level not in rows.levels or asked not in (None, level):
        raise Incomputable
    entity = wanted.get(str(tool.entity))
    holding = [rows.levels[str(level)]] if asked is None else list(rows.levels.values())
    found = [row for row in table if any(row.get(name) == entity for name in holding)]
    if not found:
        raise Incomputable  # not below the recorded entity, or without delivery: the recording cannot tell
    if _may_be_a_share(rows, str(level), recorded.get(str(tool.entity)), table):
        raise Incomputable
    return found


def _may_be_a_share(rows: Rows, level: str, entity: object, table: Sequence[Row]) -> bool:
    """Whether the recorded entity may be below the level of its rows: then its rows are a share only."""
    levels = list(rows.levels)
    if level == levels[-1] or len({row.get(rows.levels[level]) for row in table}) > 1:
        return False
    holding = [rows.levels[one] for one in levels[: levels.index(level) + 1]]
    return not any(row.get(name) == entity for row in table for name in holding)


def _told_apart_by(rows: Rows, wanted: Mapping[str, Any], recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that each row of the answer holds unasked, where it has them."""
    asked, level = (arguments.get(rows.level) if rows.level else None for arguments in (wanted, recorded))
    entities = set(rows.levels.values())
    if asked is None and level is not None:
        return tuple(name for name in rows.keys if name not in entities)
    return (*rows.keys, *([rows.levels[str(asked)]] if asked in rows.levels else ()))


def _without(row: Row, names: Iterable[str | None]) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _is_daily(dates: Presets, arguments: Mapping[str, Any]) -> bool:
    """Whether a row is a day; rows of weeks or months are neither that nor the whole window."""
    increment = arguments.get(dates.increment) if dates.increment else None
    if increment not in (None, 1, "1", "all_days"):
        raise Incomputable
    return increment in (1, "1")


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise Incomputable
    return tuple(dict.fromkeys(value))


def _table(rows: Rows, body: object) -> Sequence[Row]:
    table = body.get(rows.path) if isinstance(body, Mapping) else None
    if not isinstance(table, list) or not all(isinstance(row, Mapping) for row in table):
        raise Incomputable
    days = [(str(row.get(rows.date)), *_key(row, rows)) for row in table]
    if len(set(days)) != len(days):
        raise Incomputable  # a breakdown that the spec does not know: several rows a day
    return table


def _key(row: Row, rows: Rows) -> tuple[str, ...]:
    """What distinguishes the row from others of its day."""
    return tuple(str(row.get(name)) for name in (*rows.keys, *rows.levels.values()))


def _date(row: Row, rows: Rows) -> date:
    try:
        return date.fromisoformat(str(row.get(rows.date)))
    except ValueError as error:
        raise Incomputable from error


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What each row of the answer holds."""

    rows: Rows
    names: tuple[str, ...]
    fields: tuple[str, ...]
    windows: tuple[str, ...]
    recorded: set[str]

    def project(self, row: Row) -> dict[str, Any]:
        """A recorded row, cut down to what is asked."""
        kept = {}
        for name in self.fields:
            if name in row:
                kept[name] = self._entries(row[name])
            elif name not in self.recorded:
                value = quotient([row], name, self.rows.ratios[name], self.recorded)
                kept |= {} if value in (None, []) else {name: value}
        always = (*self.names, self.rows.date, self.rows.date_end)
        return kept | {name: row[name] for name in always if name in row}

    def _entries(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [_without(entry, set(entry) - {KIND, VALUE, *self.windows}) for entry in value]

    def sum(self, days: Sequence[Row]) -> dict[str, Any]:
        """The rows of several days as one."""
        ordered = sorted(days, key=lambda row: _date(row, self.rows))
        answer: dict[str, Any] = {name: ordered[-1][name] for name in self.names if name in ordered[-1]}
        for name in self.fields:
            if name in self.rows.constant:
                value: Any = ordered[-1].get(name)
            elif name in self.rows.additive:
                value = written(total_of(ordered, name, self.windows))
            elif name in self.rows.ratios:
                value = quotient(ordered, name, self.rows.ratios[name], self.recorded)
            else:
                raise Incomputable
            if value not in (None, []):
                answer[name] = value
        return answer
