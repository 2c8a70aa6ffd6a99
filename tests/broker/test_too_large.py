"""Records that their topic takes and no letter holds whole: each is dealt with, and the next is processed."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message

from local_stack.kafka import Broker
from schemas.catalog import topics
from schemas.identity import decision_key
from schemas.records import Disposition, Review
from sinks.dead_letters import DeadLetter, parse_dead_letter
from streams.core.contract import Coordinates
from streams.core.record_size import record_bytes
from streams.faust_runner.safety.app_settings import app_options
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.kafka_clients import header_pairs
from testkit import builders
from testkit.oversize import Oversize, check_letter, oversize_records, send_oversize
from tests.broker.replay_kit import World, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DECISIONS, VERDICTS, REQUESTS = "agent.decisions", "expert.verdicts", "opoi.replay-requests"
JOIN_TOPICS = (
    DECISIONS,
    VERDICTS,
    "opoi.retry.join",
    "opoi.ticks.join",
    "opoi-join-state-changelog",
    "opoi.reviews",
    "opoi.dispositions",
    "opoi.rejections",
    "opoi.dead-letters",
)


def world_of(broker: Broker, folder: Path, stage: str) -> World:
    if stage == "join":
        return World(broker, folder, topics=JOIN_TOPICS, process="tests.broker.join_process")
    return World(broker, folder)


def letters(world: World) -> dict[tuple[int, int], tuple[DeadLetter, Message]]:
    """The dead letters by where their records stood."""
    found = {}
    for message in world.read("opoi.dead-letters"):
        letter = parse_dead_letter(header_pairs(message.headers()))
        found[letter.partition, letter.offset] = letter, message
    return found


def outcome_at(world: World, place: tuple[int, int], topic: str) -> set[tuple[str, str]]:
    """What the dispositions say of the record there."""
    found = world.records("opoi.dispositions")
    return {
        (one.outcome, one.reason)
        for one in found
        if isinstance(one, Disposition) and (one.topic, one.partition, one.offset) == (topic, *place)
    }


def send(world: World, topic: str, record: Oversize) -> tuple[int, int]:
    put: Any = send_oversize(world.broker.bootstrap, world.kafka.physical(topic), record)
    return put.partition(), put.offset()


def test_the_join_goes_on_after_each(broker: Broker, tmp_path: Path) -> None:
    world = world_of(broker, tmp_path, "join")

    def valid(name: str, text: str) -> tuple[bytes, bytes]:
        made = builders.decision(name, rationale=text)
        return decision_key(made.agent, name).encode(), world.codec.encode(DECISIONS, made)

    worker = world.worker()
    try:
        said = {
            "valid with a long text": "state_too_large: with this record the state of 'media_buyer/text' ",
            "a long id": "its key has 3145740 bytes, allowed are 65536",
            # so many are not all read
            "a million headers": "the record was not read whole: it has 1000000 headers, ",
            "long headers": "the record was not read whole: it has 80000 headers, ",
        }
        for number, record in enumerate(oversize_records(valid)):
            place = send(world, DECISIONS, record)
            good = f"good-{number}"
            key = decision_key("media_buyer", good)
            world.send(DECISIONS, key, valid(good, "")[1])
            world.send(VERDICTS, key, world.codec.encode(VERDICTS, builders.verdict(good, "decline")))
            world.flush()
            wait_for(lambda: good in reviewed(world), 120)  # noqa: B023  it is done before the next turn
            wait_for(lambda: outcome_at(world, place, DECISIONS), 120)  # noqa: B023  likewise
            expected = said.get(record.name) or record.says
            if not expected:
                assert outcome_at(world, place, DECISIONS) == {("pending", "awaiting_verdict")}
                continue
            letter, message = letters(world)[place]
            assert (letter.error_type, letter.is_cut) == ("too_large", True), record.name
            assert letter.error.startswith(expected), record.name
            assert outcome_at(world, place, DECISIONS) == {("dead", "too_large")}
            if "headers" not in record.name:
                check_letter(message, record)
        carried = [message.headers() for message in world.read("opoi.dispositions") if message.headers()]
        assert carried == []
        assert worker.process.poll() is None, "the worker that began is the one that goes on"
        assert worker.stop() == 0
        assert max(map(len, worker.says().splitlines())) < 64 * 1024
        assert worker.says().count('"event": "record sent to dead letters"') == len(letters(world)) == 6
    finally:
        world.end()


def reviewed(world: World) -> set[str]:
    """Decisions with a review."""
    return {one.decision_id for one in world.records("opoi.reviews") if isinstance(one, Review)}


def test_the_replay_worker_goes_on_after_each(broker: Broker, tmp_path: Path) -> None:
    world = world_of(broker, tmp_path, "replay")

    def valid(name: str, text: str) -> tuple[bytes, bytes]:
        decision = world.codec.encode(DECISIONS, builders.decision("fast-large", rationale=text))
        made = world.request("fast-large", replay_id=name, decision=decision)
        return decision_key(made.agent, "fast-large").encode(), world.codec.encode(REQUESTS, made)

    worker = world.worker()
    try:
        for number, record in enumerate(oversize_records(valid)):
            place = send(world, REQUESTS, record)
            (good,) = world.ask([world.request(f"fast-good-{number}")])
            wait_for(lambda: good in world.traced(), 120)  # noqa: B023  it is done before the next turn
            wait_for(lambda: outcome_at(world, place, REQUESTS), 120)  # noqa: B023  likewise
            if not record.says and record.name != "a long id":
                assert outcome_at(world, place, REQUESTS) == {("emitted", "completed")}
                continue
            letter, message = letters(world)[place]
            if record.name == "a million headers":
                # librdkafka gives none of more than 100,000, and says no word of it
                assert (letter.error_type, letter.original_headers) == ("not_framed", ())
                continue
            # an id of megabytes is none, and its letter holds it whole
            is_id = record.name == "a long id"
            kind = "contract" if is_id else "too_large"
            assert letter.error_type == kind, record.name
            assert letter.error.startswith(record.says), record.name
            assert letter.is_cut is not is_id
            assert outcome_at(world, place, REQUESTS) == {("dead", kind)}
            check_letter(message, record)
        carried = [message.headers() for message in world.read("opoi.traces") if message.headers()]
        assert carried == []
        assert worker.process.poll() is None, "the worker that began is the one that goes on"
        assert worker.stop() == 0
        assert max(map(len, worker.says().splitlines())) < 64 * 1024
        assert worker.says().count("record sent to dead letters") == len(letters(world)) == 5
    finally:
        world.end()


def test_what_is_measured_as_fitting_fits_however_it_compresses(broker: Broker, tmp_path: Path) -> None:
    world = world_of(broker, tmp_path, "replay")
    noise = random.Random(1).randbytes(7_000_000)
    made = DeadLetters("replay", topics()).letter(
        Coordinates(REQUESTS, 0, 0),
        builders.EPOCH,
        noise[:2_000_000],
        noise,
        tuple((f"h{number}", noise[:1000]) for number in range(2000)),
        kind="contract",
        reason="r",
    )
    limit = topics()["opoi.dead-letters"].max_message_bytes
    assert limit - 2000 < record_bytes(made.key, made.value, made.headers) <= limit

    async def as_faust_does() -> None:
        options = app_options(tmp_path, None)
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap,
            acks=-1,
            compression_type=options["producer_compression_type"],
            max_request_size=options["producer_max_request_size"],
            max_batch_size=options["producer_max_batch_size"],
        )
        await producer.start()
        try:
            physical = world.kafka.physical("opoi.dead-letters")
            await producer.send_and_wait(physical, made.value, made.key, headers=list(made.headers))
        finally:
            await producer.stop()

    try:
        asyncio.run(as_faust_does())
        world.send("opoi.dead-letters", made.key, made.value, headers=made.headers)
        world.flush()
        assert [message.value() for message in world.read("opoi.dead-letters")] == [made.value] * 2
    finally:
        world.end()
