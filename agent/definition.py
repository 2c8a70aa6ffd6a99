"""An agent read from its folder: `spec.yaml`, the prompt, the tool declarations."""

import json
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any

from agent.run import AgentDefinition
from agent.spec import AgentSpec, SpecError

PROMPT_FILE = "prompt.md"
PROMPT_FOLDER = "prompt"
TOOLSET_FILE = "toolset.json"


def read_definition(folder: Traversable, spec_file: str = "spec.yaml") -> AgentDefinition:
    """The agent whose AgentSpec is `spec_file` in `folder`.

    Beside it stand `prompt.md`, or a folder `prompt` whose .md files are joined in the order of their
    names, and `toolset.json`, a list of function declarations. Raises SpecError naming what is missing or
    wrong.
    """
    spec = AgentSpec.parse(_text(folder, spec_file))
    try:
        declarations: list[Mapping[str, Any]] = json.loads(_text(folder, TOOLSET_FILE))
        named = {declaration["name"] for declaration in declarations}
    except (ValueError, TypeError, KeyError) as error:
        raise SpecError(
            f"{folder / TOOLSET_FILE} must be a JSON list of function declarations with a name: {error!r}"
        ) from error
    if named != set(spec.tools):
        raise SpecError(
            f"{folder / TOOLSET_FILE} declares {', '.join(sorted(named))}; "
            f"{folder / spec_file} describes {', '.join(sorted(spec.tools))}: both must name the same tools"
        )
    return AgentDefinition(spec, _prompt(folder), tuple(declarations))


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
