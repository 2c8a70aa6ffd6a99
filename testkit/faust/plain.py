"""The pairing agent on Faust as it is: no repair, no guard, no mark. It loses records; only for measuring."""

import asyncio
from pathlib import Path
from typing import Any, NoReturn, cast

import faust

from schemas.settings import KafkaSettings
from schemas.stages import changelog_of, group_of
from streams.core.contract import Coordinates, Event
from streams.core.message import from_milliseconds
from testkit.faust.pairs import LEFT, RIGHT, PairState, PairStep, PlainCodec

RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


def run_plain(
    step: PairStep, codec: PlainCodec, kafka: KafkaSettings, folder: Path, store: str = "rocksdb://"
) -> NoReturn:
    """Runs the agent until the process is told to stop."""
    app = faust.App(
        group_of(step.stage),
        broker=f"kafka://{kafka.bootstrap_servers}",
        store=store,
        datadir=str(folder),
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        table_standby_replicas=0,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        producer_acks=-1,
        producer_linger=0.02,
        producer_max_batch_size=256 * 1024,
        producer_compression_type="lz4",
    )
    logical = {kafka.physical(topic): topic for topic in (LEFT, RIGHT)}
    changelog_name = changelog_of(step.stage)
    changelog = app.topic(kafka.physical(changelog_name), **RAW)
    table = app.Table("state", key_type=bytes, value_type=bytes, changelog_topic=changelog)
    topics = {name: app.topic(kafka.physical(name), **RAW) for name in ("pairs", "opoi.dispositions")}

    @app.agent(app.topic(*logical, **RAW))
    async def pair(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            topic = logical[message.topic]
            record = codec.decode(topic, message.value)
            seen = Event(
                Coordinates(topic, message.partition, message.offset),
                topic,
                from_milliseconds(round(message.timestamp * 1000)),
                message.key,
                message.value,
                record,
            )
            key = step.key_of(seen).encode()
            raw = table.get(key)
            state = codec.decode(changelog_name, raw) if raw is not None else None
            transition = step.on_event(cast(PairState | None, state), seen)
            assert transition.state is not None
            table[key] = codec.encode(changelog_name, transition.state)
            for output in transition.outputs:
                await topics[output.topic].send(
                    key=output.key.encode(), value=codec.encode(output.topic, output.record)
                )

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    faust.Worker(app, loop=loop, loglevel="WARN").execute_from_commandline()
    raise SystemExit(0)
