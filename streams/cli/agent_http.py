"""`opoi agent serve` and `opoi agent check`: agents over HTTP."""

from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.output import AsJson, echo, echo_json, echo_line, echo_text, table
from streams.errors import UserError
from streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from agent.http.check.sample import Sample
    from agent.run import AgentDefinition

REFERENCE = "media_buyer"
SAMPLE = "local_stack.sample"
"""The built-in sample; as text, because it is part of the one-machine stack."""
BREACH = 3
MOST_OUTPUT_TOKENS = 100_000
MOST_TURNS = 24
REACH_SECONDS = 5.0


def serve(
    agent: Annotated[str, typer.Argument(help="media_buyer, or the path of your agent's AgentSpec.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 18210,
) -> None:
    """Serve an agent over HTTP in opoi's own runtime: the reference implementation of the contract.

    The model is that of the settings. Example usage: opoi agent serve media_buyer --port 18210
    """
    from agent.http.service import AgentService
    from agent.http.serving import CannotListen, Server
    from agent.model import GeminiModel

    settings = load_settings()
    definition = _definition(agent)
    model = GeminiModel(settings.model, max_attempts=settings.replay.max_attempts)
    with closing(AgentService(definition, model)) as service:
        try:
            server = Server(service.app(), host, port, name="agent")
        except CannotListen as error:
            raise UserError(f"{error}; choose another port with --port") from error
        echo(f"{definition.spec.name} {definition.spec.version} is served at {server.url}")
        try:
            server.wait()
        except KeyboardInterrupt:
            server.close()


def check(
    url: Annotated[str, typer.Argument(help="URL of the agent.")],
    spec: Annotated[
        Path | None,
        typer.Option(
            help="Its AgentSpec, prompt.md, toolset.json and sample.yaml beside it; absent: media_buyer's."
        ),
    ] = None,
    canary_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Local port to which the agent's platform points during the check."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Longest run, in seconds.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Check that an agent over HTTP keeps the contract; exit code 3 if it does not.

    The last line names clauses that no run showed. Only --canary-port shows writes that bypass opoi.
    The agent's token comes from OPOI_REPLAY__ENDPOINTS, if that names the agent with this URL.
    Example usage: opoi agent check http://127.0.0.1:18210 --spec my_agent/spec.yaml
    """
    from agent.http.check.canary import canary
    from agent.http.check.conformance import check as findings_of
    from agent.http.check.probe import Agent
    from agent.http.client import AgentAway, AgentClient, AgentRefused, RunAway
    from agent.http.contract import RUNS, RunBudget
    from agent.http.serving import CannotListen
    from agent.http.tools_endpoint import ToolsEndpoint
    from agent.spec import SpecError

    settings = load_settings()
    replay = settings.replay
    budget = RunBudget(max_turns=MOST_TURNS, max_output_tokens=MOST_OUTPUT_TOKENS, max_seconds=seconds)
    try:
        with ExitStack() as stack:
            definition, sample = _checked(spec, settings)
            client = stack.enter_context(
                closing(AgentClient(_address(url), _token(settings, definition.spec.name, url)))
            )
            client.send("GET", RUNS, REACH_SECONDS)
            watched = stack.enter_context(canary(canary_port)) if canary_port else None
            endpoint = stack.enter_context(
                closing(ToolsEndpoint(replay.tools_host, replay.tools_port or 0, replay.tools_url))
            )
            agent = Agent(definition, sample, client, endpoint, budget)
            findings = list(findings_of(agent, watched))
    except (SpecError, CannotListen, AgentRefused) as error:
        raise UserError(str(error)) from error
    except RunAway as error:
        raise UserError(f"{error}; check again when it is back", exit_code=1) from error
    except AgentAway as error:
        raise UserError(f"{error}: does the agent run at this URL?", exit_code=1) from error
    if as_json:
        echo_json(findings)
    else:
        rows = [(one.clause, one.outcome, one.seen) for one in findings]
        echo_text(table(("CLAUSE", "OUTCOME", "SEEN"), rows))
    broken = [one.clause for one in findings if one.outcome == "broken"]
    if broken:
        echo_line(f"{url} breaks the contract: {', '.join(broken)}")
        raise typer.Exit(BREACH)
    hidden = [one.clause for one in findings if one.outcome == "not shown"]
    if hidden:
        echo_line(f"{url} passed; not shown: {', '.join(hidden)}")


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url!r} is no URL of an agent; one looks like http://127.0.0.1:18210")
    return url


def _token(settings: Settings, name: str, url: str) -> str | None:
    known = settings.replay.endpoints.get(name)
    if known is None or known.token is None or known.url != url.rstrip("/"):
        return None
    return known.token.get_secret_value()


def _definition(agent: str) -> "AgentDefinition":
    from agent.load import read_definition
    from agent.media_buyer.definition import media_buyer
    from agent.spec import SpecError

    if agent.replace("-", "_") == REFERENCE:
        return media_buyer()
    try:
        return read_definition(Path(agent).parent, Path(agent).name)
    except SpecError as error:
        raise UserError(str(error)) from error


def _checked(spec: Path | None, settings: Settings) -> "tuple[AgentDefinition, Sample]":
    """The agent under check and its sample. Raises SpecError."""
    from agent.http.check.sample import read_sample

    if spec is not None:
        return _definition(str(spec)), read_sample(spec.parent)
    sample: Sample = import_module(SAMPLE).media_buyer_sample(settings.model.name)
    return _definition(REFERENCE), sample
