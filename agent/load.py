"""An agent read from its folder: `spec.yaml`, the prompt, the tool declarations, its sub-agents."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from agent.limits import Limits, LimitsError, filled, read_limits
from agent.run import AgentDefinition
from agent.spec import AgentSpec, SpecError
from schemas.identity import canonical_json
from schemas.names import UnsafeName, safe_name

PROMPT_FILE = "prompt.md"
PROMPT_FOLDER = "prompt"
TOOLSET_FILE = "toolset.json"
SUB_AGENTS_FOLDER = "sub_agents"

Declarations = Sequence[Mapping[str, Any]]


def read_definition(folder: Traversable, spec_file: str = "spec.yaml") -> AgentDefinition:
    """The agent whose AgentSpec is `spec_file` in `folder`.

    Beside it are `prompt.md`, or a folder `prompt` whose .md files are joined in the order of their
    names; `toolset.json`, a list of function declarations; for each sub-agent a folder `sub_agents/NAME` with
    the same two (a string in its toolset names a tool of the main agent's); and, for numbers that are used
    in several places, `limits.yaml`. Raises SpecError naming what is missing or wrong.
    """
    try:
        limits = read_limits(folder)
        written = filled(_text(folder, spec_file), limits)
        declarations = _declarations(folder, {})
        spec = _spec(folder, written, declarations, limits)
        prompt = filled(_prompt(folder), limits)
    except LimitsError as error:
        raise SpecError(str(error)) from error
    named = {str(one["name"]) for one in declarations}
    named |= {str(one["name"]) for sub_agent in spec.sub_agents.values() for one in sub_agent.declarations}
    if named != set(spec.tools):
        raise SpecError(
            f"{folder / TOOLSET_FILE} and the sub-agents declare {', '.join(sorted(named))}; "
            f"{folder / spec_file} describes {', '.join(sorted(spec.tools))}: both must name the same tools"
        )
    return AgentDefinition(spec, prompt, tuple(declarations))


def exported(agent: AgentDefinition) -> str:
    """The agent as its own process needs it to record decisions: one JSON object, every default filled in."""
    return canonical_json(
        {
            "spec": json.loads(agent.spec.content()),
            "system_prompt": agent.system_prompt,
            "toolset": list(agent.declarations),
        }
    )


def _spec(folder: Traversable, written: str, declarations: Declarations, limits: Limits) -> AgentSpec:
    try:
        loaded = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise SpecError(f"this is no AgentSpec: {error}") from error
    sub_agents = loaded.get("sub_agents") if isinstance(loaded, dict) else None
    if isinstance(sub_agents, dict):
        by_name = {str(one["name"]): one for one in declarations}
        for name, sub_agent in sub_agents.items():
            own = folder.joinpath(SUB_AGENTS_FOLDER).joinpath(_safe(str(name)))
            sub_agent["prompt"] = filled(_prompt(own), limits)
            sub_agent["declarations"] = _declarations(own, by_name)
    return AgentSpec.of(loaded)


def _safe(sub_agent: str) -> str:
    try:
        return safe_name(sub_agent, "sub-agent")
    except UnsafeName as error:
        raise SpecError(f"this is no AgentSpec: {error}") from error


def _declarations(folder: Traversable, known: Mapping[str, Mapping[str, Any]]) -> Declarations:
    try:
        loaded = json.loads(_text(folder, TOOLSET_FILE))
        unknown = [one for one in loaded if isinstance(one, str) and one not in known]
        if unknown:
            raise SpecError(
                f"{folder / TOOLSET_FILE} names {', '.join(unknown)}, which the main agent does not declare: "
                "both must name the same tools"
            )
        found = [known[one] if isinstance(one, str) else one for one in loaded]
        if not all(isinstance(one["name"], str) for one in found):
            raise TypeError("a name is no text")
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(
            f"{folder / TOOLSET_FILE} must be a JSON list of function declarations with a name: {error!r}"
        ) from error
    return found


def _prompt(folder: Traversable) -> str:
    parts = folder.joinpath(PROMPT_FOLDER)
    if not parts.is_dir():
        return _text(folder, PROMPT_FILE)
    files = sorted((part for part in parts.iterdir() if part.name.endswith(".md")), key=lambda one: one.name)
    if not files:
        raise SpecError(f"{parts} holds no .md file")
    return "\n".join(part.read_text(encoding="utf-8") for part in files)


def _text(folder: Traversable, name: str) -> str:
    try:
        return folder.joinpath(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{folder / name} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
