"""Sums and quotients of the fields of recorded rows, exact in decimals."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.tool_spec import Ratio, Rows

Row = Mapping[str, Any]
RATIO_DIGITS = Decimal("0.000001")
KIND, VALUE = "action_type", "value"
"""Members of an entry in a field that is a list."""


class Incomputable(Exception):
    """The answer cannot be computed from the recorded one."""


Total = Decimal | dict[tuple[str, str], Decimal]
"""A number, or numbers by the kind of an entry and what is counted in it."""


def _numbers(value: object, windows: Sequence[str] = ()) -> Total | None:
    """A field as a number, or as numbers by entry; None where the row lacks it."""
    try:
        if value is None:
            return None
        if isinstance(value, list):
            return {
                (str(entry[KIND]), name): Decimal(str(entry[name]))
                for entry in value
                for name in (VALUE, *windows)
                if name == VALUE or name in entry
            }
        return Decimal(str(value))
    except (InvalidOperation, KeyError, TypeError) as error:
        raise Incomputable from error


def total_of(days: Sequence[Row], name: str, windows: Sequence[str]) -> Total | None:
    """The sum of a field over rows; None where none has it. Raises Incomputable."""
    total: Total | None = None
    for row in days:
        value = _numbers(row.get(name), windows)
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
            raise Incomputable
    return total


def is_computable(rows: Rows, name: str, recorded: set[str]) -> bool:
    """Whether the field is a quotient of two that were recorded."""
    ratio = rows.ratios.get(name)
    return (
        ratio is not None and ratio.numerator is not None and {ratio.numerator, ratio.denominator} <= recorded
    )


def quotient(days: Sequence[Row], name: str, ratio: Ratio, recorded: set[str]) -> Any:
    """The ratio over the days: of two sums, or the mean of the daily values where the spec allows it."""
    if ratio.numerator is None or ratio.numerator not in recorded:
        if not (ratio.weighted and name in recorded):
            raise Incomputable
        ratio = ratio.model_copy(update={"numerator": None})
    if ratio.denominator not in recorded:
        raise Incomputable
    kinds = ratio.kinds
    if ratio.numerator is None:
        daily = [value for row in days if (value := _numbers(row.get(name))) is not None]
        if not daily:
            return None
        kinds = {kind: kind for value in daily if isinstance(value, dict) for kind, _ in sorted(value)}
    if not kinds:
        return _divided(days, name, ratio, None)
    values = {kind: _divided(days, name, ratio, source) for kind, source in kinds.items()}
    return [_entry(kind, value) for kind, value in values.items() if value is not None]


def _divided(days: Sequence[Row], name: str, ratio: Ratio, kind: str | None) -> str | None:
    def at(row: Row, field: str) -> Decimal:
        return _at(_numbers(row.get(field)), kind)

    below = sum((at(row, ratio.denominator) for row in days), Decimal(0))
    if ratio.numerator is not None:
        above = ratio.scale * sum((at(row, ratio.numerator) for row in days), Decimal(0))
    else:
        above = sum((at(row, name) * at(row, ratio.denominator) for row in days), Decimal(0))
    if not below or (kind is not None and not above):
        return None  # a list has no entry for what did not happen
    return str((above / below).quantize(RATIO_DIGITS))


def _at(total: Total | None, key: str | None) -> Decimal:
    if isinstance(total, dict):
        return total.get((key or "", VALUE), Decimal(0))
    return total if total is not None else Decimal(0)


def _entry(kind: str, value: str) -> dict[str, str]:
    """One entry of a field that is a list."""
    return {KIND: kind, VALUE: value}


def written(total: Total | None) -> Any:
    """A total in the shape of a row's field."""
    if not isinstance(total, dict):
        return None if total is None else str(total)
    entries: dict[str, dict[str, str]] = {}
    for (kind, name), number in total.items():
        entries.setdefault(kind, {KIND: kind})[name] = str(number)
    return list(entries.values())
