"""`opoi demo`: the whole pipeline, on this machine, with simulated traffic."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from local_stack import stack
from local_stack.home import Home
from local_stack.progress import Progress, progress
from streams.cli.output import AsJson, echo, echo_json, echo_text, own_command
from streams.errors import UserError
from streams.settings import Settings, load_settings

LOST = 1
LINE_EVERY_SECONDS = 5.0


def demo(
    decisions: Annotated[int, typer.Option("-n", "--decisions", min=1, help="Number of decisions.")] = 60,
    seed: Annotated[
        int | None, typer.Option(help="Seed of agent and expert; without one, every run differs.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything has arrived.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Show the whole pipeline: decide, review, join, replay, sanitize, land, read back.

    Starts the stack if it does not run, and leaves it running. A second run adds to the first.
    Exit code 1 if something does not arrive. Example usage: `opoi demo -n 100`.
    """
    home = Home(load_settings().home)
    begun = time.monotonic()
    with progress() as shown:
        settings = stack.up(home, shown).settings
        with _one_line_errors():
            result = _run(settings, decisions, seed if seed is not None else int(time.time()), timeout, shown)
    result["seconds"] = round(time.monotonic() - begun, 1)
    if as_json:
        echo_json(result)
    else:
        _print(result)
    if not result["complete"]:
        missing = "; ".join(result["missing"]) or "the figures still change"
        raise UserError(
            f"not everything arrived within {timeout:g} s: {missing}; "
            "see `opoi sql pending` and `opoi doctor`",
            exit_code=LOST,
        )


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns errors of the services that the demo uses into a `UserError` with exit code 1."""
    from agent.ports import ModelError
    from local_stack.traffic import PlatformAway
    from schemas.errors import SchemaError
    from sinks.clickhouse import ClickHouseAway, StatementRefused
    from streams.runtime.kafka_clients import DeliveryFailed

    expected = (PlatformAway, ModelError, SchemaError, ClickHouseAway, StatementRefused, DeliveryFailed)
    try:
        yield
    except expected as error:
        raise UserError(f"the demo cannot continue: {error}; see `opoi status`", exit_code=LOST) from error


def _run(settings: Settings, decisions: int, seed: int, timeout: float, shown: Progress) -> dict[str, Any]:
    from agent.model import GeminiModel
    from local_stack.demo import feed, story, watch
    from local_stack.traffic import Production
    from schemas.registry import make_codec
    from sinks.clickhouse import ClickHouse
    from streams.runtime.kafka_clients import CheckedProducer

    model = GeminiModel(settings.model)
    production = Production(model, settings.model.name, settings.ads)
    looking = watch.Watch(settings)
    last = time.monotonic()

    def say(sent: feed.Sent, standing: watch.Standing | None) -> None:
        nonlocal last
        text = f"{len(sent.decisions)}/{decisions} decisions, {len(sent.verdicts)} verdicts"
        if standing is not None:
            answered = [f"{one.stage} {one.inputs - one.unanswered}/{one.inputs}" for one in standing.stages]
            rest = f"in work {standing.working}, not landed {standing.not_landed}"
            text = " | ".join([text, *answered, rest])
        shown.working(text)
        if time.monotonic() - last > LINE_EVERY_SECONDS:
            last = time.monotonic()
            shown.line(text)

    shown.line(f"the agent decides {decisions} times, a simulated expert reviews")
    sent = feed.send(
        production.decide(decisions, seed),
        CheckedProducer(settings.kafka),
        make_codec(settings),
        seed,
        lambda so_far: say(so_far, None),
    )
    shown.line(
        f"sent {len(sent.decisions)} decisions, {len(sent.verdicts)} verdicts, "
        f"{sent.poison} undecodable records"
    )
    standing, complete = looking.until_done(sent, timeout, lambda now: say(sent, now))
    server = ClickHouse(settings.clickhouse)
    found = story.one_decision(server, sent)
    return {
        "decisions": len(sent.decisions),
        "verdicts": len(sent.verdicts),
        "poison": sent.poison,
        "seed": seed,
        "complete": complete,
        "missing": standing.missing(sent),
        "stages": [dataclasses.asdict(one) for one in standing.stages],
        "not_landed": standing.not_landed,
        "under_way": standing.working,
        "funnel": story.funnel(server),
        "example": dataclasses.asdict(found) if found else None,
        "text": "\n\n".join(
            [story.stage_table(standing), story.funnel_table(story.funnel(server))]
            + ([story.told(found)] if found else [])
        ),
    }


def _print(result: dict[str, Any]) -> None:
    echo_text(result["text"])
    echo("")
    echo_text(
        f"{result['decisions']} decisions and {result['verdicts']} verdicts in {result['seconds']} s. "
        "Model and world are toys: the figures say nothing about a real agent.\n"
        "The stack keeps running. Next:"
    )
    for command, about in _next_commands(result["example"]):
        echo(f"  {command}  # {about}")


def _next_commands(example: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    opoi = own_command()
    yield f"{opoi} sql funnel", "the funnel again"
    yield f"{opoi} sql rejections", "what was refused, and why"
    if example is not None and example["replay_id"] is not None:
        yield f"{opoi} replay show {example['replay_id']}", "the replay behind the decision above"
    yield f"{opoi} status", "processes, ports, memory, disk"
    yield f"{opoi} down", "stop; data stays"
