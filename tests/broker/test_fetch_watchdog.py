"""A consumer that gets nothing, on a real broker: only where records wait for it, it is ended."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from local_stack.kafka import Broker
from schemas.settings import KafkaSettings
from streams.runtime.exit_codes import ExitCode
from streams.runtime.fetch_watchdog import CONFIG, FetchWatchdog
from streams.runtime.kafka_clients import make_consumer
from tests.broker.replay_kit import wait_for

pytestmark = pytest.mark.stack
LIMIT = 2.0


class Member:
    """A member of a group of its own on a topic of its own, and what its watch said."""

    def __init__(self, broker: Broker, protocol: str) -> None:
        self.name = f"t{time.time_ns()}"
        self.servers = broker.bootstrap
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap, group_protocol=protocol)
        topic = NewTopic(self.name, num_partitions=3, replication_factor=1)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([topic])[self.name].result(30)
        self.ended: list[tuple[ExitCode, str]] = []
        self.watchdog = FetchWatchdog(
            kafka, limit=LIMIT, end=lambda code, said: self.ended.append((code, said))
        )
        self.consumer = make_consumer(kafka, self.name, **CONFIG)
        self.consumer.subscribe([self.name])
        self.got = 0
        self.ends: dict[int | None, int | None] = {}

    def send(self, count: int, **settings: str) -> Producer:
        producer = Producer({"bootstrap.servers": self.servers, **settings})
        if "transactional.id" in settings:
            producer.init_transactions(30)
            producer.begin_transaction()
        for number in range(count):
            producer.produce(self.name, b"x", partition=number % 3)
        producer.flush(30)
        return producer

    def poll(self, until: Callable[[], bool], *, held: bool = False, looks: bool = True) -> None:
        """Polls and looks as a worker does."""

        def once() -> bool:
            messages = self.consumer.consume(100, 0.05)
            self.watchdog.polled(messages, held=held)
            if looks:
                self.watchdog.check(self.consumer)
            self.got += sum(message.error() is None for message in messages)
            self.ends |= {each.partition(): each.offset() for each in messages if each.error() is not None}
            return until()

        wait_for(once, 60, every=0)

    def for_long(self) -> Callable[[], bool]:
        end = time.monotonic() + 3 * LIMIT
        return lambda: time.monotonic() > end


@pytest.fixture(params=["classic", "consumer"])
def member(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Member]:
    made = Member(broker, request.param)
    yield made
    made.consumer.close()


def test_a_client_that_stopped_fetching_is_ended(member: Member) -> None:
    member.send(30)
    member.poll(lambda: member.got == 30, looks=False)
    # nobody but the client knows that its partitions stand still
    member.consumer.pause(member.consumer.assignment())
    member.send(6)
    member.poll(lambda: bool(member.ended))
    code, said = member.ended[0]
    assert code is ExitCode.WATCHDOG
    assert "6 records wait in 3 partitions of this worker" in said


def test_a_record_that_is_on_its_way_is_waited_for(broker: Broker) -> None:
    member = Member(broker, "classic")
    member.poll(lambda: len(member.consumer.assignment()) == 3, looks=False)
    member.poll(member.for_long())
    # as a broker does that collects records before it answers
    member.consumer.pause(member.consumer.assignment())
    member.send(3)
    until = time.monotonic() + LIMIT / 2
    member.poll(lambda: time.monotonic() > until)
    member.consumer.resume(member.consumer.assignment())
    member.poll(lambda: member.got == 3)
    assert member.ended == []
    member.consumer.close()


def test_one_that_has_read_all_or_holds_records_back_lives(member: Member) -> None:
    member.poll(lambda: len(member.consumer.assignment()) == 3, looks=False)
    # what is aborted is never handed out, nor are the markers behind it
    member.send(9, **{"transactional.id": member.name}).abort_transaction(30)
    member.poll(lambda: member.ends == dict.fromkeys(range(3), 4), looks=False)
    member.poll(member.for_long())
    member.consumer.pause(member.consumer.assignment())
    member.send(3)
    member.poll(member.for_long(), held=True)
    assert (member.got, member.ended) == (0, [])


def test_one_without_a_partition_lives(broker: Broker) -> None:
    member = Member(broker, "classic")
    member.poll(lambda: len(member.consumer.assignment()) == 3, looks=False)
    member.consumer.unsubscribe()
    member.send(3)
    member.poll(member.for_long())
    assert member.ended == []
    member.consumer.close()


def test_while_the_broker_is_away_nobody_is_ended(broker: Broker) -> None:
    member = Member(broker, "classic")
    member.poll(lambda: len(member.consumer.assignment()) == 3, looks=False)
    broker.kill()
    member.poll(member.for_long())
    broker.start()
    assert member.ended == []
    member.consumer.close()
