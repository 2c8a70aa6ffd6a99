"""`opoi agent`: agents on the artifacts topic."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schemas.records import Artifact
from streams.cli.agent_http import check, serve
from streams.cli.output import AsJson, echo_json, echo_json_text, echo_line, echo_text, one_line_errors, table
from streams.errors import UserError
from streams.settings import load_settings

app = typer.Typer(help="Register agents, show their prompts, serve and check them.", no_args_is_help=True)
app.command()(serve)
app.command()(check)


@app.command()
def register(
    spec: Annotated[
        Path, typer.Argument(help="The AgentSpec, with prompt.md (or prompt/) and toolset.json beside it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Put an AgentSpec, its prompt and its tool declarations on the artifacts topic.

    A second run changes nothing. Example usage: opoi agent register my_agent/spec.yaml
    """
    from agent.load import read_definition
    from agent.media_buyer.definition import artifacts
    from agent.spec import SpecError
    from streams.agents.register_agent import register_agent
    from streams.runtime.kafka_clients import DeliveryFailed

    try:
        wanted = artifacts(read_definition(spec.parent, spec.name), datetime.now(UTC))
    except SpecError as error:
        raise UserError(str(error)) from error
    with one_line_errors():
        try:
            new = {artifact.artifact_id for artifact in register_agent(load_settings(), wanted)}
        except DeliveryFailed as error:
            raise UserError(str(error), exit_code=1) from error
    rows = [
        {**_row(artifact), "state": "registered" if artifact.artifact_id in new else "already registered"}
        for artifact in wanted
    ]
    _print(rows, as_json)


@app.command()
def export(
    spec: Annotated[Path, typer.Argument(help="The AgentSpec, with its prompt and tools beside it.")],
) -> None:
    """Print an agent as `opoi-client` reads it: one JSON object of spec, system_prompt and toolset.

    Example usage: opoi agent export my_agent/spec.yaml > agent.json
    """
    from agent.load import exported, read_definition
    from agent.spec import SpecError

    try:
        found = read_definition(spec.parent, spec.name)
    except SpecError as error:
        raise UserError(str(error)) from error
    echo_json_text(exported(found))


@app.command()
def prompt(name: Annotated[str, typer.Argument(help="media_buyer, or a registered agent.")]) -> None:
    """Print an agent's system prompt: this version's for media_buyer, else the one registered last.

    Example usage: opoi agent prompt media_buyer | less
    """
    if name.replace("-", "_") == "media_buyer":
        from agent.media_buyer.definition import media_buyer

        echo_text(media_buyer().system_prompt, end="")
        return
    found = [a for a in _registered() if a.kind == "system_prompt" and a.agent == name]
    if not found:
        raise UserError(
            f"no agent {name!r} is registered; `opoi agent list` names them, `opoi agent register` adds one"
        )
    last = max(found, key=lambda artifact: artifact.registered_at)
    echo_text(last.content.decode(errors="replace"), end="")


@app.command("list")
def list_agents(as_json: AsJson = False) -> None:
    """List the registered agents: specs, prompts, tool declarations.

    Example usage: opoi agent list
    """
    ordered = sorted(_registered(), key=lambda a: (a.agent, a.registered_at, a.kind))
    _print([_row(artifact) for artifact in ordered], as_json)


def _registered() -> list[Artifact]:
    from schemas.registry import make_codec
    from streams.agents.artifact_store import PATIENT_SECONDS, ArtifactStore

    settings = load_settings()
    store = ArtifactStore(settings.kafka, make_codec(settings), patience=PATIENT_SECONDS)
    with one_line_errors():
        found = store.all()
    store.close()
    return found


def _row(artifact: Artifact) -> dict[str, str | int]:
    return {
        "agent": artifact.agent,
        "kind": artifact.kind,
        "version": artifact.version,
        "artifact_id": artifact.artifact_id,
        "bytes": len(artifact.content),
        "registered_at": artifact.registered_at.isoformat(timespec="seconds"),
    }


def _print(rows: list[dict[str, str | int]], as_json: bool) -> None:
    if as_json:
        echo_json(rows)
    elif rows:
        echo_text(table([name.upper() for name in rows[0]], (list(row.values()) for row in rows)))
    else:
        echo_line("no agent is registered; `opoi agent register` adds one")
