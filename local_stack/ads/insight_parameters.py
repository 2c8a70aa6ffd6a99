"""Parameters of an insights request: fields, days, windows and breakdowns. All raise GraphError."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from local_stack.ads.errors import invalid_parameter
from local_stack.ads.structure import BREAKDOWNS

PRESET_DAYS = {"yesterday": 1, "last_3d": 3, "last_7d": 7, "last_14d": 14, "last_28d": 28, "last_30d": 30}
KNOWN_WINDOWS = ("1d_click", "7d_click", "1d_view")
REMOVED_WINDOWS = ("7d_view", "28d_view")
MAXIMUM_BREAKDOWNS = 2


def parse_fields(text: str | None, allowed: Iterable[str], default: tuple[str, ...]) -> tuple[str, ...]:
    """Field names of a request: comma separated or a JSON list. Raises GraphError for an unknown one."""
    if not text:
        return default
    names = (
        tuple(json.loads(text)) if text.startswith("[") else tuple(part.strip() for part in text.split(","))
    )
    allowed = set(allowed)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise invalid_parameter(
            f"{', '.join(unknown)} is not valid for fields param. Known here: {sorted(allowed)}"
        )
    return names


def parse_range(parameters: Mapping[str, str], today: date) -> tuple[date, date]:
    """First and last requested day, in the account's calendar. Raises GraphError."""
    if "time_range" in parameters:
        try:
            window = json.loads(parameters["time_range"])
            first, last = date.fromisoformat(window["since"]), date.fromisoformat(window["until"])
        except (ValueError, KeyError, TypeError) as error:
            raise invalid_parameter(
                'Must be a JSON object {"since":"YYYY-MM-DD","until":"YYYY-MM-DD"}'
            ) from error
        if first > last:
            raise invalid_parameter(f"time_range: since {first} lies after until {last}")
        return first, last
    preset = parameters.get("date_preset", "last_30d")
    if preset == "today":
        return today, today
    if preset not in PRESET_DAYS:
        raise invalid_parameter(
            f"date_preset must be one of the following values: today, {', '.join(PRESET_DAYS)}"
        )
    return today - timedelta(days=PRESET_DAYS[preset]), today - timedelta(days=1)


def spans(first: date, last: date, increment: str) -> Iterator[tuple[date, date]]:
    """First and last day of each row."""
    if increment == "all_days":
        yield first, last
        return
    if not re.fullmatch(r"[1-9]|[1-8]\d|90", increment):
        raise invalid_parameter(f"time_increment must be 1 to 90 or all_days, not {increment!r}")
    days = int(increment)
    while first <= last:
        yield first, min(last, first + timedelta(days=days - 1))
        first += timedelta(days=days)


def names_in(parameters: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A list parameter: a JSON list of texts, or names with commas between them."""
    text = parameters.get(name, "")
    try:
        found = json.loads(text) if text.startswith("[") else [part for part in text.split(",") if part]
    except ValueError as error:
        raise invalid_parameter(f"{name} must be a JSON list of names, not {text!r}") from error
    if not all(isinstance(one, str) for one in found):
        raise invalid_parameter(f"{name} must be a list of names, not {text!r}")
    return tuple(dict.fromkeys(one.strip() for one in found))


def attribution_windows(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The requested windows."""
    windows = names_in(parameters, "action_attribution_windows")
    removed = [window for window in windows if window in REMOVED_WINDOWS]
    if removed:
        raise invalid_parameter(f"the attribution window {removed[0]} is no longer available")
    unknown = [window for window in windows if window not in KNOWN_WINDOWS]
    if unknown:
        raise invalid_parameter(
            f"the local platform has the windows {', '.join(KNOWN_WINDOWS)} only, not {unknown[0]}"
        )
    return windows


def breakdowns_in(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The requested breakdowns."""
    breakdowns = names_in(parameters, "breakdowns")
    unknown = [name for name in breakdowns if name not in BREAKDOWNS]
    if unknown:
        raise invalid_parameter(
            f"breakdowns[0] must be one of the following values: {', '.join(BREAKDOWNS)}, not {unknown[0]}"
        )
    if len(breakdowns) > MAXIMUM_BREAKDOWNS:
        raise invalid_parameter(f"{len(breakdowns)} breakdowns; at most {MAXIMUM_BREAKDOWNS} go together")
    return breakdowns
