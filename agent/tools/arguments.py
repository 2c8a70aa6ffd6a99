"""Checks the arguments of a tool call: by their type, or by the tool's declaration alone.

A replay knows only the declarations. Its error texts are those of production, since both are made here.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from agent.ports import ToolError
from schemas.identity import canonical_json

Checked = TypeVar("Checked", bound=BaseModel)

_PLAIN: Mapping[object, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}


def checked(tool: str, model: type[Checked], arguments: Mapping[str, Any]) -> Checked:
    """The arguments as `model`. Raises ToolError, with each fault and where it is."""
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ToolError(f"{tool} cannot be called like this: {faults}") from error


def check_declared(
    declarations: Iterable[Mapping[str, Any]], tool: str, arguments: Mapping[str, Any]
) -> None:
    """Checks the arguments against the tool's first declaration; one without properties allows all.

    Raises ToolError.
    """
    found = next((one for one in declarations if one.get("name") == tool), {})
    parameters = found.get("parameters")
    if isinstance(parameters, Mapping) and isinstance(parameters.get("properties"), Mapping):
        checked(tool, _declared(canonical_json(dict(parameters))), arguments)


@lru_cache(maxsize=256)
def _declared(parameters: str) -> type[BaseModel]:
    return _object(json.loads(parameters))


def _object(schema: Mapping[str, Any]) -> type[BaseModel]:
    properties, required = schema["properties"], schema.get("required") or ()
    fields: dict[str, Any] = {}
    for number, (name, one) in enumerate(properties.items()):
        kind = _type(one)
        # an alias, since a JSON name may not be a Python name
        fields[f"field_{number}"] = (
            (kind, Field(alias=name)) if name in required else (kind | None, Field(default=None, alias=name))
        )
    more: Literal["allow", "forbid"] = "allow" if schema.get("additionalProperties") else "forbid"
    return create_model("Declared", __config__=ConfigDict(extra=more, strict=True), **fields)


def _type(schema: object) -> Any:
    """The type that a schema describes; any value where the schema is of an unknown form."""
    if not isinstance(schema, Mapping):
        return Any
    kind, values = schema.get("type"), schema.get("enum")
    if isinstance(values, list) and values and all(isinstance(one, str | int) for one in values):
        return Literal[tuple(values)]
    bounds = {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    if kind == "object":
        return _object(schema) if isinstance(schema.get("properties"), Mapping) else dict[str, Any]
    if kind == "array":
        # a type that is known at run time only
        return Annotated[list[_type(schema.get("items"))], Field(**bounds)]  # type: ignore[misc]
    if isinstance(kind, str) and kind in _PLAIN:
        return Annotated[_PLAIN[kind], Field(**bounds)]
    return Any
