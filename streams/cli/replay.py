"""`opoi replay`: pause replays, let them go on, see what waits."""

from typing import Annotated

import typer

from schemas.settings import KafkaSettings
from streams.cli.errors import UserError
from streams.cli.output import AsJson, echo_json, one_line_errors
from streams.settings import load_settings

STAGE = "replay"

app = typer.Typer(help="Pause replays, let them go on, see what waits.", no_args_is_help=True)


@app.command()
def pause(
    reason: Annotated[str, typer.Option(help="Why, for whoever sees it.")] = "",
) -> None:
    """Begin no more replays, on any worker, until `opoi replay resume`; what runs ends.

    Example usage: opoi replay pause --reason "the model's price has doubled"
    """
    _say(paused=True, reason=reason)
    typer.echo("replays are paused; what runs ends, nothing new begins: `opoi replay status`")


@app.command()
def resume() -> None:
    """Let replays go on.

    Example usage: opoi replay resume
    """
    _say(paused=False)
    typer.echo("replays go on")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether replays are paused, and what waits.

    Example usage: opoi replay status
    """
    from streams.workers.backlog import backlog
    from streams.workers.controls import Controls
    from streams.workers.requests import REQUESTS, RETRY

    kafka = _kafka()
    with one_line_errors():
        controls = Controls(kafka, STAGE)
        control = controls.catch_up()
        controls.close()
        found = backlog(kafka, STAGE, (REQUESTS, RETRY))
    since = control.at.isoformat() if control.paused and control.at else None
    if as_json:
        echo_json(
            {
                "paused": control.paused,
                "since": since,
                "reason": control.reason if control.paused else "",
                "waiting": found.waiting,
                "workers": found.workers,
            }
        )
        return
    why = f": {control.reason}" if control.reason else ""
    typer.echo(f"paused since {since}{why}" if control.paused else "not paused")
    for topic, count in found.waiting.items():
        typer.echo(f"{count} not done on {kafka.physical(topic)}")
    typer.echo(f"{found.workers} workers")


def _say(*, paused: bool, reason: str = "") -> None:
    from streams.kafka_clients import DeliveryFailed
    from streams.workers.controls import say

    kafka = _kafka()
    try:
        say(kafka, STAGE, paused=paused, reason=reason)
    except DeliveryFailed as error:
        raise UserError(
            f"the broker {kafka.bootstrap_servers} did not take it ({error}): is it up, and was "
            "`opoi topics apply` run?",
            exit_code=1,
        ) from error


def _kafka() -> KafkaSettings:
    return load_settings().kafka
