"""`opoi replay`: show one; pause and resume replays; show what waits."""

from typing import Annotated

import typer

from schemas.settings import KafkaSettings
from streams.cli.output import AsJson, echo, echo_json, one_line_errors
from streams.errors import UserError
from streams.settings import load_settings

STAGE = "replay"

TRACE = "SELECT * FROM traces WHERE replay_id = {replay_id:String} LIMIT 1"
REQUEST = "SELECT decision_id, requested_at FROM replay_requests WHERE replay_id = {replay_id:String} LIMIT 1"

app = typer.Typer(help="Show a replay; pause and resume replays; show what waits.", no_args_is_help=True)


@app.command()
def show(
    replay_id: Annotated[str, typer.Argument(help="Id of the replay, as `opoi sql decision` lists it.")],
    full: Annotated[bool, typer.Option("--full", help="Show all texts whole.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one replay: turns, tool calls and what answered them, action, cost, and where the oracle was.

    Example usage: opoi replay show 6f2c0a31-8a3e-5e0c-9a55-0d5b1f5f7a10
    """
    from sinks.clickhouse import ClickHouse
    from streams.cli.migrate import one_line_errors as clickhouse_errors
    from streams.cli.trace_text import lines

    server = ClickHouse(load_settings().clickhouse)
    with clickhouse_errors():
        found = server.query(TRACE, {"replay_id": replay_id}, readonly=2)
        asked = server.query(REQUEST, {"replay_id": replay_id}, readonly=2).result_rows
    if not found.result_rows:
        if not asked:
            raise UserError(
                f"there is no replay {replay_id!r}; `opoi sql decision --param decision_id=...` lists the "
                "replays of a decision",
                exit_code=1,
            )
        raise UserError(
            f"replay {replay_id} of decision {asked[0][0]} was requested at {asked[0][1]:%Y-%m-%d %H:%M} UTC "
            "and has no trace yet: `opoi replay status` shows what waits",
            exit_code=1,
        )
    trace = dict(zip(found.column_names, found.result_rows[0], strict=True))
    if as_json:
        echo_json(trace)
    else:
        for line in lines(trace, full=full):
            echo(line)


@app.command()
def pause(
    reason: Annotated[str, typer.Option(help="Why; `opoi replay status` shows it.")] = "",
) -> None:
    """Start no more replays, on any worker, until `opoi replay resume`. Running replays end normally.

    Example usage: opoi replay pause --reason "the model's price has doubled"
    """
    _say(paused=True, reason=reason)
    echo("replays paused; running ones end normally: `opoi replay status`")


@app.command()
def resume() -> None:
    """Resume replays.

    Example usage: opoi replay resume
    """
    _say(paused=False)
    echo("replays resumed")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether replays are paused, and what waits.

    Example usage: opoi replay status
    """
    from streams.health.backlog import backlog
    from streams.runtime.model_runs.pause import PauseTopic
    from streams.stages.replay.requests import REQUESTS, RETRY

    kafka = _kafka()
    with one_line_errors():
        controls = PauseTopic(kafka, STAGE)
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
    echo(f"paused since {since}{why}" if control.paused else "not paused")
    for topic, count in found.waiting.items():
        echo(f"{count} waiting on {kafka.physical(topic)}")
    echo(f"{found.workers} workers")


def _say(*, paused: bool, reason: str = "") -> None:
    from streams.runtime.kafka_clients import DeliveryFailed
    from streams.runtime.model_runs.pause import publish_pause

    kafka = _kafka()
    try:
        publish_pause(kafka, STAGE, paused=paused, reason=reason)
    except DeliveryFailed as error:
        raise UserError(
            f"the broker {kafka.bootstrap_servers} did not accept the record ({error}): is it up, and was "
            "`opoi topics apply` run?",
            exit_code=1,
        ) from error


def _kafka() -> KafkaSettings:
    return load_settings().kafka
