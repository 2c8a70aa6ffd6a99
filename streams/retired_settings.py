"""Settings that were renamed or removed: they cause a warning, never an error.

Every command reads every setting, so with an error nobody could stop or upgrade an existing stack. To
rename or remove a setting, add a line to `RETIRED`; `make generate` writes it into docs/operations.md.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.visible import visible


@dataclass(frozen=True, slots=True)
class Retired:
    """A setting, or a whole group, by its variable. `new` takes its value; None: nothing does."""

    old: str
    new: str | None
    since: str
    """The first version of opoi that lacks it."""


RETIRED: tuple[Retired, ...] = tuple(
    Retired(f"OPOI_WORKER__BREAKER_{name}", f"OPOI_WORKER__DLQ_LIMIT_{name}", "0.3.0")
    for name in ("RUN", "SHARE", "WINDOW", "PAUSE_SECONDS")
)


def renewed(found: Mapping[str, str]) -> dict[str, str]:
    """The variables of one place (names in upper case) with new names for the retired ones.

    If both are set, the new one counts.
    """
    layer = dict(found)
    for one in RETIRED:
        before = dict(layer)
        for old, new, value in _set(before, one):
            _remove(layer, old)
            if new is not None and value is not None and not _is_set(before, new):
                layer[new] = value
    return layer


def warnings(found: Mapping[str, str], where: str, remedy: str | None = None) -> Iterator[str]:
    """One line for each retired variable in `found`; `where` is the place that sets it.

    `remedy` replaces "rename it" and "remove it", for a file that nobody writes by hand.
    """
    for one in RETIRED:
        for old, new, _ in _set(found, one):
            if new is None:
                what, do = "it has no effect any more", "remove it"
            elif _is_set(found, new):
                what, do = f"{new} is set there too and is used instead", "remove it"
            else:
                what, do = f"it is used as {new}", "rename it"
            yield f"warning: {old} ({where}) is retired since opoi {one.since}: {what}; {remedy or do}"


def tell(lines: Iterable[str]) -> None:
    """Write warnings to stderr, each once in a process."""
    for line in lines:
        if line not in _told:
            _told.add(line)
            sys.stderr.write(f"{visible(line)}\n")


def markdown() -> str:
    """The table as docs/operations.md has it."""
    rows = [
        f"| `{one.old}` | {f'`{one.new}`' if one.new else 'nothing: remove it'} | {one.since} |"
        for one in RETIRED
    ]
    return "\n".join(["| retired | now | since |", "|---|---|---|", *rows]) if rows else "None so far."


_told: set[str] = set()


def _set(found: Mapping[str, str], one: Retired) -> list[tuple[str, str | None, str | None]]:
    """Set variables of `one`: the old name, the new one, the value (None: a null in JSON)."""
    given: dict[str, str | None] = {name: value for name, value in found.items() if _within(name, one.old)}
    members = _group(found, one.old)[1]
    if one.old not in given and _field(one.old) in members:
        member = members[_field(one.old)]
        given[one.old] = member if isinstance(member, str | None) else json.dumps(member)
    return [
        (name, None if one.new is None else one.new + name.removeprefix(one.old), value)
        for name, value in given.items()
    ]


def _within(name: str, variable: str) -> bool:
    """Whether `name` is `variable` or a part of it."""
    return name == variable or name.startswith(f"{variable}__")


def _is_set(found: Mapping[str, str], variable: str) -> bool:
    return any(_within(name, variable) for name in found) or _field(variable) in _group(found, variable)[1]


def _remove(found: dict[str, str], variable: str) -> None:
    found.pop(variable, None)
    group, members = _group(found, variable)
    if _field(variable) in members:
        del members[_field(variable)]
        found[group] = json.dumps(members)


def _group(found: Mapping[str, str], variable: str) -> tuple[str, dict[str, Any]]:
    """The variable of a setting's group, and its members if it is set as one JSON object."""
    group = variable.rpartition("__")[0]
    try:
        members = json.loads(found.get(group, "{}"))
    except ValueError:
        return group, {}  # reported with all other values that cannot be read
    return group, members if isinstance(members, dict) else {}


def _field(variable: str) -> str:
    return variable.rpartition("__")[2].lower()
