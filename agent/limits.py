"""Limits of an agent: each number is written once, in `limits.yaml`, and is used by its name.

`{{name}}` in the prompt or the AgentSpec is replaced by the number, so that what the agent is told and what
its AgentSpec enforces cannot differ. The runtime enforces `agent.run.Limits`: in production those of the
caller, in a replay those of the request's budget and, for corrections, seconds of a tool and bytes of an
answer, the defaults. Other numbers for these in the file change what the agent is told, not how it is
replayed.
"""

import re
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

FILE = "limits.yaml"
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class LimitsError(ValueError):
    """A limits file that cannot be read, or a name that it lacks; the text says which."""


class Limit(BaseModel):
    """One limit. `says` is the rule in words, `enforced_by` what refuses a value beyond it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int | float
    unit: str
    says: str
    enforced_by: Literal["decision check", "tool", "runtime", "platform", "expert"]


Limits = Mapping[str, Limit]
_ADAPTER = TypeAdapter(dict[str, Limit])


def read_limits(folder: Traversable) -> Limits:
    """The limits of the agent in `folder`; none where it has no such file. Raises LimitsError."""
    path = folder.joinpath(FILE)
    if not path.is_file():
        return {}
    try:
        return _ADAPTER.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise LimitsError(f"{path} is no list of limits: {error}") from error


def filled(text: str, limits: Limits) -> str:
    """`text` with every `{{name}}` replaced by that limit. Raises LimitsError for an unknown name."""

    def number(match: re.Match[str]) -> str:
        limit = limits.get(match[1])
        if limit is None:
            raise LimitsError(f"{{{{{match[1]}}}}} names no limit; {FILE} has {', '.join(limits) or 'none'}")
        return f"{limit.value:g}" if isinstance(limit.value, float) else str(limit.value)

    return _PLACEHOLDER.sub(number, text)
