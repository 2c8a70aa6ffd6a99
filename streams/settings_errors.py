"""Messages about wrong settings: one line a problem, about the variable that is set."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from streams.errors import UserError

PREFIX = "OPOI_"
MASK = "**********"
Layers = Mapping[str, Mapping[str, str]]


class SettingsError(UserError):
    """Settings that cannot be used; `problems` holds one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """The group of settings of `field`, None if it is a plain value."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def fields_of(settings: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every plain setting: its path of names and its field."""
    for name, field in settings.model_fields.items():
        group = group_of(field)
        if group is None:
            yield (name,), field
        else:
            yield from (((name, *path), inner) for path, inner in fields_of(group))


def variable_of(path: tuple[str, ...]) -> str:
    """The variable that sets the field at `path`."""
    return PREFIX + "__".join(path).upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether the value of `field` must not be shown."""
    return field.annotation is SecretStr or SecretStr in getattr(field.annotation, "__args__", ())


def where_set(variable: str, layers: Layers) -> str | None:
    """The highest layer that sets `variable`, or the group that it is part of."""
    group = variable.partition("__")[0]
    for where, found in layers.items():
        if variable in found or group in found:
            return where
    return None


def describe(error: ValidationError, settings: type[BaseModel], layers: Layers) -> list[str]:
    """One line for each problem in `error`."""
    return [_line(dict(problem), settings, layers) for problem in error.errors(include_url=False)]


def unknown_variables(settings: type[BaseModel], layers: Layers) -> list[str]:
    """Variables that opoi does not know but that were surely meant for it: a wrong group, `_` for `__`.

    Other names are ignored: a Kubernetes service called opoi-something sets some of its own.
    """
    known = [variable_of(path) for path, _ in fields_of(settings)]
    collapsed = {name.replace("__", "_"): name for name in known}
    groups = {name.partition("__")[0] for name in known}
    problems = []
    for where, found in layers.items():
        for name, value in found.items():
            if name in known or name in groups or ("://" in value and name.endswith("_PORT")):
                continue
            if name.replace("__", "_") in collapsed:
                problems.append(
                    f"{name} ({where}): no such setting; {collapsed[name.replace('__', '_')]} is meant"
                )
            elif "__" in name and name.partition("__")[0] not in groups:
                problems.append(f"{name} ({where}): no such group{_nearest(name.partition('__')[0], groups)}")
    return problems


def not_json(settings: type[BaseModel], layers: Layers) -> list[str]:
    """Variables of a whole group or a mapping that are not JSON."""
    known = list(fields_of(settings))
    wanted = {variable_of(path) for path, field in known if get_origin(field.annotation) is dict}
    wanted |= {variable_of(path[:1]) for path, _ in known if len(path) > 1}
    problems = []
    for where, found in layers.items():
        for name in sorted(wanted & found.keys()):
            try:
                json.loads(found[name])
            except ValueError as error:
                problems.append(f"{name}={found[name]!r} ({where}): must be a JSON object: {error}")
    return problems


def _line(problem: dict[str, Any], settings: type[BaseModel], layers: Layers) -> str:
    path, field = _locate(settings, problem["loc"])
    variable = variable_of(path)
    where = where_set(variable, layers)
    place = f" ({where})" if where else ""
    if problem["type"] == "extra_forbidden":
        known = [variable_of(path) for path, _ in fields_of(settings)]
        return f"{variable}{place}: no such setting{_nearest(variable, known)}"
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    if field is None:
        return f"{variable}__*{place}: {message}"
    shown = MASK if is_secret(field) else repr(problem["input"])
    return f"{variable}={shown}{place}: {message}"


def _locate(
    settings: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[tuple[str, ...], FieldInfo | None]:
    """The names in `location` that are settings (pydantic adds others), and the plain field they end at."""
    path: list[str] = []
    model: type[BaseModel] | None = settings
    for step in location:
        if model is None:
            break
        path.append(str(step))
        field = model.model_fields.get(str(step))
        if field is None:
            break
        model = group_of(field)
        if model is None:
            return tuple(path), field
    return tuple(path), None


def _nearest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else "; `opoi config show` lists all"
