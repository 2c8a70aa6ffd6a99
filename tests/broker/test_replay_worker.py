"""The replay worker on a real broker: what is asked for is run, whatever dies, comes, goes or is refused."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from typer.testing import CliRunner

from local_stack.kafka import Broker
from schemas.log_events import (
    DEPENDENCY_UNREACHABLE,
    PARTITIONS_ASSIGNED,
    PARTITIONS_LOST,
    PARTITIONS_REVOKED,
    REGISTRY_UNREACHABLE,
    REPLAYS_PAUSED,
)
from sinks.dead_letters import dead_letter, parse_dead_letter
from streams.cli.replay import app
from streams.health.backlog import backlog
from streams.runtime.exit_codes import ExitCode
from streams.runtime.model_runs.pause import publish_pause
from tests.broker.replay_kit import World, wait_for

pytestmark = pytest.mark.stack


@pytest.fixture
def world(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(broker, tmp_path, getattr(request, "param", "consumer"))
    yield made
    made.end()


both_protocols = pytest.mark.parametrize(
    "world", ["classic", pytest.param("consumer", marks=pytest.mark.soak)], indirect=True
)


@both_protocols
def test_a_crash_repeats_only_what_was_in_flight(world: World) -> None:
    mixed = [world.request(f"{'slow' if n % 4 == 0 else 'fast'}-{n}") for n in range(80)]
    asked = world.ask(mixed)
    first = world.worker(concurrency=20)
    wait_for(lambda: len(world.starts()) >= 45)
    first.kill()
    before = len(world.starts())
    assert before < 80
    second = world.worker(concurrency=20)
    wait_for(lambda: world.traced().keys() >= set(asked))
    assert second.stop() == 0
    begun = Counter(world.starts())
    assert set(begun) == set(asked)
    assert max(begun.values()) <= 2
    assert sum(begun.values()) - len(begun) <= 20
    assert set(world.traced()) == set(asked)
    assert world.outcomes() == {("emitted", "completed"): 80}


def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(world: World) -> None:
    requests, retry, key = "opoi.replay-requests", "opoi.retry.replay", "media_buyer/fast-x"
    fine = world.codec.encode(requests, world.request("fast-x"))
    headless = world.codec.encode(requests, world.request("fast-x", decision=b"\x00\x00"))
    again = world.request("fast-again")
    sent_again = first_letter(world)
    # Kafka has names that repeat and values that are null
    own = (("traceparent", b"00-0"), ("null", None), ("traceparent", b"00-1"))
    poison = [
        ("not_framed", requests, "k", b"no avro", ()),
        ("unknown_schema_id", requests, key, b"\x00\x00\x00\x00\x07" + fine[5:], own),
        ("empty_body", requests, key, None, ()),
        ("wrong_key", requests, "media_buyer/other", fine, ()),
        ("not_framed", requests, key, headless, ()),
        ("unknown_topic", retry, key, fine, ()),
        ("not_framed", retry, key, b"still broken", sent_again),
    ]
    good = world.ask(world.request(f"fast-{n}") for n in range(4))
    for _, topic, of_key, value, headers in poison:
        world.send(topic, of_key, value, headers=headers)
    world.send(retry, "media_buyer/fast-again", world.codec.encode(requests, again), headers=sent_again)
    good += world.ask(world.request(f"fast-late-{n}") for n in range(4))
    worker = world.worker()
    wait_for(lambda: sum(world.outcomes().values()) == 9 + len(poison))
    assert worker.stop() == 0
    # where it can be read whose replay it is, its case is told
    lost = world.request("fast-x").replay_id
    told = {(one.replay_id, one.reason.split(": ")[1]) for one in world.traces() if one.reason}
    assert told == {(lost, "wrong_key"), (lost, "not_framed")}
    assert world.traced() == dict.fromkeys([*good, again.replay_id], 1) | {lost: 2}
    dead = Counter(("dead", kind) for kind, *_ in poison)
    assert world.outcomes() == dead + Counter({("emitted", "completed"): 9})
    letters = {
        (letter.error_type, message.key().decode(), message.value()): letter
        for message in world.read("opoi.dead-letters")
        for letter in [parse_dead_letter(message.headers())]
    }
    assert set(letters) == {(kind, of_key, value) for kind, _, of_key, value, _ in poison}
    traced = next(letter for (kind, *_), letter in letters.items() if kind == "unknown_schema_id")
    assert traced.original_headers == own
    # a record that was sent again keeps its first coordinates
    kept = letters["not_framed", key, b"still broken"]
    assert (kept.topic, kept.partition, kept.offset) == (requests, 3, 7)


def first_letter(world: World) -> list[tuple[str, bytes | None]]:
    """Headers of a request that failed before, at offset 7 of partition 3."""
    return dead_letter(
        topic="opoi.replay-requests",
        partition=3,
        offset=7,
        timestamp=world.request("x").requested_at,
        stage="replay",
        error_type="x",
        error="y",
        failed_at=world.request("x").requested_at,
    ).headers()


def test_the_broker_goes_away_and_comes_back(world: World, broker: Broker) -> None:
    asked = world.ask(world.request(f"fast-{n}") for n in range(60))
    worker = world.worker(fast_seconds=1.0)
    wait_for(lambda: len(world.starts()) >= 10)
    broker.kill()
    time.sleep(4)
    broker.start()
    wait_for(lambda: world.traced().keys() >= set(asked), 150)
    assert worker.process.poll() is None
    assert worker.stop() == 0
    assert set(world.starts()) == set(asked)
    if PARTITIONS_LOST.text not in worker.says():
        # what was paid for was kept while the broker was away
        assert max(Counter(world.starts()).values()) == 1
    wait_for(lambda: world.outcomes() == {("emitted", "completed"): 60})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", ["classic"], indirect=True)
def test_a_worker_goes_on_after_the_broker_was_away_for_longer_than_its_session(
    world: World, broker: Broker
) -> None:
    asked = world.ask(world.request(f"fast-{n}") for n in range(40))
    worker = world.worker(fast_seconds=1.0)

    def revived() -> bool:
        nonlocal worker
        if (code := worker.process.poll()) is not None:
            assert code == ExitCode.WATCHDOG
            worker = world.worker(fast_seconds=1.0)
        return True

    wait_for(lambda: len(world.starts()) >= 10)
    broker.kill()
    # its partitions are lost while they are held, unless a commit that waits comes before that
    time.sleep(15)
    broker.start()
    # librdkafka may hang for good in this: then the worker ends itself, and its supervisor starts it again
    wait_for(lambda: revived() and world.traced().keys() >= set(asked), 300)
    assert worker.stop() == 0
    assert set(world.starts()) == set(asked)


@both_protocols
def test_pause_holds_over_restarts_and_resume_ends_it(world: World) -> None:
    publish_pause(world.kafka, "replay", paused=True, reason="prices")
    asked = world.ask(world.request(f"fast-{n}") for n in range(6))
    worker = world.worker()
    wait_for(lambda: REPLAYS_PAUSED.text in worker.says())
    assert worker.stop() == 0
    worker = world.worker()
    wait_for(lambda: PARTITIONS_ASSIGNED.text in worker.says())
    time.sleep(1)
    assert world.starts() == []
    publish_pause(world.kafka, "replay", paused=False)
    wait_for(lambda: world.traced().keys() >= set(asked))
    publish_pause(world.kafka, "replay", paused=True)
    wait_for(lambda: worker.says().count(REPLAYS_PAUSED.text) == 2)
    more = world.ask(world.request(f"fast-more-{n}") for n in range(6))
    time.sleep(1)
    assert not set(world.starts()) & set(more)
    found = backlog(world.kafka, "replay", ("opoi.replay-requests", "opoi.retry.replay"))
    assert found.waiting == {"opoi.replay-requests": 6, "opoi.retry.replay": 0}
    assert found.workers >= 1
    assert worker.stop() == 0


def test_the_command_line_pauses_resumes_and_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_KAFKA__BOOTSTRAP_SERVERS", world.kafka.bootstrap_servers)
    monkeypatch.setenv("OPOI_KAFKA__TOPIC_NAMES", json.dumps(world.kafka.topic_names))
    world.ask(world.request(f"fast-{n}") for n in range(3))

    def opoi(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    requests, retry = (world.kafka.physical(name) for name in ("opoi.replay-requests", "opoi.retry.replay"))
    assert opoi("status").splitlines()[:3] == [
        "not paused",
        f"3 waiting on {requests}",
        f"0 waiting on {retry}",
    ]
    opoi("pause", "--reason", "prices")
    shown = json.loads(opoi("status", "--json"))
    assert (shown["paused"], shown["reason"]) == (True, "prices")
    assert shown["waiting"] == {"opoi.replay-requests": 3, "opoi.retry.replay": 0}
    opoi("resume")
    assert opoi("status").startswith("not paused")


@both_protocols
def test_workers_come_and_go_and_nothing_is_lost_or_bought_twice(world: World) -> None:
    asked = world.ask(world.request(f"fast-{n}") for n in range(150))
    first = world.worker("1", fast_seconds=0.5)
    wait_for(lambda: len(world.starts()) >= 20)
    second = world.worker("2", fast_seconds=0.5)
    wait_for(lambda: PARTITIONS_REVOKED.text in first.says())
    asked += world.ask(world.request(f"fast-more-{n}") for n in range(50))
    time.sleep(2)
    assert second.stop() == 0
    asked += world.ask(world.request(f"fast-last-{n}") for n in range(30))
    wait_for(lambda: world.traced().keys() >= set(asked))
    assert first.stop() == 0
    begun = Counter(world.starts())
    assert set(begun) == set(asked)
    if PARTITIONS_LOST.text not in first.says() + second.says():
        assert max(begun.values()) == 1
    assert world.outcomes() == {("emitted", "completed"): 230}


def test_a_model_that_is_away_is_waited_for(world: World) -> None:
    world.away.touch()
    asked = world.ask(world.request(f"fast-{n}") for n in range(30))
    late = world.request("fast-late", deadline=4)
    world.ask([late])
    worker = world.worker()
    wait_for(lambda: DEPENDENCY_UNREACHABLE.text in worker.says())
    time.sleep(4)
    world.away.unlink()
    wait_for(lambda: sum(world.outcomes().values()) == 31)
    assert worker.stop() == 0
    assert world.traced() == dict.fromkeys([*asked, late.replay_id], 1)
    (given_up,) = [trace for trace in world.traces() if trace.replay_id == late.replay_id]
    assert (given_up.status, given_up.attempts) == ("exhausted", 0)
    assert world.outcomes() == {("emitted", "completed"): 30, ("superseded", "past_deadline"): 1}
    assert worker.says().count(DEPENDENCY_UNREACHABLE.text) < 4
    assert world.read("opoi.dead-letters") == []


def test_a_model_is_asked_whether_it_is_back_also_when_nothing_waits_for_it(world: World) -> None:
    world.away.touch()
    world.ask([world.request("fast-late", deadline=3)])
    worker = world.worker()
    wait_for(lambda: world.outcomes() == {("superseded", "past_deadline"): 1})
    world.away.unlink()
    asked = world.ask(world.request(f"fast-{n}") for n in range(5))
    wait_for(lambda: set(world.starts()) >= set(asked))
    assert worker.stop() == 0


def test_a_registry_that_is_away_is_waited_for_on_both_sides(world: World) -> None:
    world.registry_away.touch()
    asked = world.ask(world.request(f"fast-{n}") for n in range(20))
    worker = world.worker(fast_seconds=3.0)
    wait_for(lambda: DEPENDENCY_UNREACHABLE.text in worker.says())
    world.registry_away.unlink()
    wait_for(lambda: world.starts())
    # what ran meanwhile has not been written yet, and its schemas are not known
    world.registry_away.touch()
    wait_for(lambda: REGISTRY_UNREACHABLE.text in worker.says())
    world.registry_away.unlink()
    wait_for(lambda: world.traced().keys() >= set(asked))
    assert worker.stop() == 0
    assert Counter(world.starts()) == Counter(asked)
    assert world.outcomes() == {("emitted", "completed"): 20}


def test_a_record_with_our_own_bug_stops_the_worker_three_times_and_then_is_dead(world: World) -> None:
    world.ask([world.request("bug-1")])
    asked = world.ask(world.request(f"fast-{n}") for n in range(10))
    for _ in range(3):
        assert world.worker(kept=True).ends() == ExitCode.OWN_FAULT
    last = world.worker(kept=True)
    wait_for(lambda: sum(world.outcomes().values()) == 11)
    assert last.stop() == 0
    assert world.outcomes() == {("emitted", "completed"): 10, ("dead", "killed_the_process"): 1}
    # the others were allowed to end, and are not bought again
    begun = Counter(world.starts())
    assert {begun[one] for one in asked} == {1}


def test_of_several_records_in_flight_the_one_that_crashes_the_process_is_found(world: World) -> None:
    crash = world.request("crash-1")
    asked = world.ask(world.request(f"fast-{n}") for n in range(4))
    world.ask([crash])
    asked += world.ask(world.request(f"fast-more-{n}") for n in range(4))
    codes = [world.worker(kept=True, fast_seconds=0.5).ends() for _ in range(4)]
    assert set(codes) == {128 + 11}
    last = world.worker(kept=True)
    wait_for(lambda: sum(world.outcomes().values()) == 9)
    assert last.stop() == 0
    assert world.outcomes() == {("emitted", "completed"): 8, ("dead", "killed_the_process"): 1}
    assert set(world.traced()) == {*asked, crash.replay_id}
    (given_up,) = [trace for trace in world.traces() if trace.replay_id == crash.replay_id]
    assert (given_up.reason or "").startswith("dead_letter: killed_the_process: ")


def test_a_trace_that_no_topic_carries_is_a_rejection(world: World) -> None:
    (asked,) = world.ask([world.request("large-1")])
    worker = world.worker()
    wait_for(lambda: world.outcomes() == {("rejected", "too_large"): 1})
    assert worker.stop() == 0
    (trace,) = world.traces()
    assert (trace.replay_id, trace.status, trace.turns) == (asked, "failed", ())
    assert (trace.reason or "").startswith("too_large: the AgentTrace for opoi.traces has ")
    (rejection,) = world.records("opoi.rejections")
    assert (rejection.replay_id, rejection.reason_code) == (asked, "too_large")  # type: ignore[attr-defined]
    assert json.loads(rejection.evidence_json)["limit"] == 4 * 1024 * 1024  # type: ignore[attr-defined]


def test_a_refused_record_stops_the_worker_and_nothing_is_committed(world: World, broker: Broker) -> None:
    def limit(size: int) -> None:
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(
            ResourceType.TOPIC, world.kafka.physical("opoi.traces"), incremental_configs=[entry]
        )
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(10)

    limit(100)
    asked = world.ask(world.request(f"fast-{n}") for n in range(3))
    worker = world.worker()
    assert worker.ends() == ExitCode.PRODUCE_FAILED
    assert "the broker did not take a record" in worker.says()
    assert all(offset <= 0 for offset in world.committed().values())
    limit(4 * 1024 * 1024)
    worker = world.worker()
    wait_for(lambda: world.traced().keys() >= set(asked))
    assert worker.stop() == 0


def test_what_was_asked_twice_is_run_once_and_what_is_late_not_at_all(world: World) -> None:
    twice = world.request("slow-1")
    world.ask([twice, twice, twice, world.request("fast-late", deadline=-1)])
    worker = world.worker()
    wait_for(lambda: sum(world.outcomes().values()) == 4)
    assert worker.stop() == 0
    assert world.starts() == [twice.replay_id]
    assert world.outcomes() == {
        ("emitted", "completed"): 1,
        ("duplicate", "in_flight"): 2,
        ("superseded", "past_deadline"): 1,
    }
    causes = [[cause.id for cause in trace.caused_by] for trace in world.traces() if trace.attempts > 0]
    assert causes == [[twice.replay_id]]


def test_what_another_verdict_called_off_is_not_bought(world: World) -> None:
    world.away.touch()
    early = world.request("fast-early", case_number=1)
    world.ask([early])
    worker = world.worker()
    wait_for(lambda: DEPENDENCY_UNREACHABLE.text in worker.says())
    # one was begun and waits for the model, the other has not been read yet
    world.cancel("fast-early", below=2)
    world.cancel("fast-late", below=2)
    late = world.request("fast-late", case_number=1)
    wanted = [world.request("fast-late", 1, case_number=2), world.request("fast-other", case_number=1)]
    world.ask([late, *wanted])
    time.sleep(1)
    world.away.unlink()
    wait_for(lambda: sum(world.outcomes().values()) == 4)
    assert worker.stop() == 0
    assert Counter(world.starts()) == Counter(one.replay_id for one in wanted)
    assert world.outcomes() == {("emitted", "completed"): 2, ("superseded", "cancelled"): 2}
    # a worker that starts later knows too
    world.ask([world.request("fast-late", 2, case_number=1)])
    worker = world.worker()
    wait_for(lambda: sum(world.outcomes().values()) == 5)
    assert worker.stop() == 0
    assert world.outcomes()["superseded", "cancelled"] == 3


def test_a_days_budget_holds_over_workers_and_restarts(world: World) -> None:
    first = world.ask([world.request("fast-1")])
    worker = world.worker(attempts_per_day=2)
    wait_for(lambda: world.traced().keys() >= set(first))
    assert worker.stop() == 0
    second = world.ask([world.request("fast-2")])
    worker = world.worker("2", attempts_per_day=2)
    wait_for(lambda: world.traced().keys() >= {*first, *second})
    # the worker hears of its own spending through the topic, as every other one does
    time.sleep(1)
    third = world.ask([world.request("fast-3")])
    wait_for(lambda: world.traced().keys() >= {*first, *second, *third})
    assert worker.stop() == 0
    assert world.starts() == [*first, *second]
    (refused,) = [trace for trace in world.traces() if trace.replay_id in third]
    assert (refused.status, refused.attempts) == ("exhausted", 0)
    assert (refused.reason or "").startswith("day_budget: budget_attempts is reached on ")
    assert world.outcomes() == {("emitted", "completed"): 2, ("emitted", "exhausted"): 1}


def test_a_stop_keeps_to_its_budget(world: World) -> None:
    short = world.ask(world.request(f"fast-{n}") for n in range(3))
    long = world.ask(world.request(f"slow-{n}") for n in range(3))
    worker = world.worker(fast_seconds=1.0, slow_seconds=60.0, drain_seconds=3.0)
    wait_for(lambda: len(world.starts()) == 6)
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun < 30  # its long runs take 60 s
    assert set(world.traced()) == set(short)
    worker = world.worker(fast_seconds=0.1, slow_seconds=0.1)
    wait_for(lambda: set(world.traced()) == {*short, *long})
    assert worker.stop() == 0
    assert world.traced() == dict.fromkeys([*short, *long], 1)
