"""Answers computed from a recorded answer that contains them: fewer fields, fewer days, sums over days.

Pure, and knows no platform: the AgentSpec says which fields add up and which are quotients. What cannot be
computed exactly (reach, frequency) is not answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.spec import Presets, Ratio, Rows, ToolSpec

Row = Mapping[str, Any]
RATIO_DIGITS = Decimal("0.000001")


class _Incomputable(Exception):
    """The recorded answer does not hold what is asked."""


def derive(
    tool: ToolSpec, wanted: Mapping[str, Any], recorded: Mapping[str, Any], body: object, today: date
) -> dict[str, Any] | None:
    """The answer to `wanted`, out of `body`, which answered `recorded`; None where it does not follow.

    `today` is the day, in the account's time zone, on which the recorded answer was given.
    """
    if tool.rows is None or tool.dates is None:
        return None
    try:
        return {tool.rows.path: _rows(tool.rows, tool.dates, wanted, recorded, body, today)}
    except _Incomputable:
        return None


def _rows(
    rows: Rows,
    dates: Presets,
    wanted: Mapping[str, Any],
    recorded: Mapping[str, Any],
    body: object,
    today: date,
) -> list[dict[str, Any]]:
    shape = {rows.fields, dates.argument, dates.increment}
    if any(wanted.get(name) != recorded.get(name) for name in (wanted.keys() | recorded.keys()) - shape):
        raise _Incomputable
    asked, have = (
        dates.days.get(str(wanted.get(dates.argument))),
        dates.days.get(str(recorded.get(dates.argument))),
    )
    if asked is None or have is None or not (have[0] >= asked[0] and have[1] <= asked[1]):
        raise _Incomputable
    fields, recorded_fields = _names(wanted.get(rows.fields)), set(_names(recorded.get(rows.fields)))
    if not set(fields) <= recorded_fields:
        raise _Incomputable
    by_day = _is_daily(dates, wanted)
    found = _table(rows, body)
    if not _is_daily(dates, recorded):
        if by_day or asked != have:
            raise _Incomputable
        return [_project(row, fields, rows) for row in found]
    inside = [row for row in found if asked[1] <= (today - _date(row, rows)).days <= asked[0]]
    if by_day:
        return [_project(row, fields, rows) for row in inside]
    first, last = (today - timedelta(days=days) for days in asked)
    bounds = {rows.date: first.isoformat(), rows.date_end: last.isoformat()}
    return [_sum(inside, fields, recorded_fields, rows) | bounds] if inside else []


def _is_daily(dates: Presets, arguments: Mapping[str, Any]) -> bool:
    return dates.increment is not None and arguments.get(dates.increment) in (1, "1")


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise _Incomputable
    return tuple(dict.fromkeys(value))


def _table(rows: Rows, body: object) -> Sequence[Row]:
    table = body.get(rows.path) if isinstance(body, Mapping) else None
    if not isinstance(table, list) or not all(isinstance(row, Mapping) for row in table):
        raise _Incomputable
    days = [row.get(rows.date) for row in table]
    if len(set(map(str, days))) != len(days):
        raise _Incomputable  # a breakdown: several rows a day
    return table


def _date(row: Row, rows: Rows) -> date:
    try:
        return date.fromisoformat(str(row.get(rows.date)))
    except ValueError as error:
        raise _Incomputable from error


def _project(row: Row, fields: Iterable[str], rows: Rows) -> dict[str, Any]:
    kept = {name: row[name] for name in fields if name in row}
    return kept | {name: row[name] for name in (rows.date, rows.date_end) if name in row}


def _sum(days: Sequence[Row], fields: Iterable[str], recorded: set[str], rows: Rows) -> dict[str, Any]:
    ordered = sorted(days, key=lambda row: _date(row, rows))
    answer: dict[str, Any] = {}
    for name in fields:
        if name in rows.constant:
            value: Any = ordered[-1].get(name)
        elif name in rows.additive:
            value = _written(_total(ordered, name))
        elif name in rows.ratios:
            value = _quotient(ordered, name, rows.ratios[name], recorded)
        else:
            raise _Incomputable
        if value not in (None, []):
            answer[name] = value
    return answer


Total = Decimal | dict[str, Decimal]


def _numbers(value: object) -> Total | None:
    """A field as a number, or as numbers by action type; None where the row lacks it."""
    try:
        if value is None:
            return None
        if isinstance(value, list):
            return {str(item["action_type"]): Decimal(str(item["value"])) for item in value}
        return Decimal(str(value))
    except (InvalidOperation, KeyError, TypeError) as error:
        raise _Incomputable from error


def _total(days: Sequence[Row], name: str) -> Total | None:
    total: Total | None = None
    for row in days:
        value = _numbers(row.get(name))
        if value is None:
            continue
        if total is None:
            total = value
        elif isinstance(total, dict) and isinstance(value, dict):
            total = {
                key: total.get(key, Decimal(0)) + value.get(key, Decimal(0)) for key in {**total, **value}
            }
        elif isinstance(total, Decimal) and isinstance(value, Decimal):
            total += value
        else:
            raise _Incomputable
    return total


def _quotient(days: Sequence[Row], name: str, ratio: Ratio, recorded: set[str]) -> Any:
    if not {ratio.denominator, ratio.numerator or ratio.denominator} <= recorded:
        raise _Incomputable
    daily = [value for row in days if (value := _numbers(row.get(name))) is not None]
    if not daily:
        return None
    kinds = sorted({kind for value in daily if isinstance(value, dict) for kind in value})
    if not kinds:
        return _divided(days, name, ratio, None)
    values = {kind: _divided(days, name, ratio, kind) for kind in kinds}
    return [_entry(kind, value) for kind, value in values.items() if value is not None]


def _divided(days: Sequence[Row], name: str, ratio: Ratio, kind: str | None) -> str | None:
    def at(row: Row, field: str) -> Decimal:
        return _at(_numbers(row.get(field)), kind)

    below = sum((at(row, ratio.denominator) for row in days), Decimal(0))
    if ratio.numerator is not None:
        above = sum((at(row, ratio.numerator) for row in days), Decimal(0))
    else:
        above = sum((at(row, name) * at(row, ratio.denominator) for row in days), Decimal(0))
    return str((above / below).quantize(RATIO_DIGITS)) if below else None


def _at(total: Total | None, key: str | None) -> Decimal:
    if isinstance(total, dict):
        return total.get(key or "", Decimal(0))
    return total if total is not None else Decimal(0)


def _entry(kind: str, value: str) -> dict[str, str]:
    return {"action_type": kind, "value": value}


def _written(total: Total | None) -> Any:
    if isinstance(total, dict):
        return [_entry(key, str(value)) for key, value in total.items()]
    return None if total is None else str(total)
