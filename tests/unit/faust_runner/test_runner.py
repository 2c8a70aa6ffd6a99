"""What the runner does with an event, without a broker."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from structlog.testing import capture_logs

from schemas.errors import RegistryAway
from schemas.record import Record
from schemas.records import Disposition, EndOffset, Tick
from schemas.settings import KafkaSettings
from schemas.stages import DEAD_LETTERS, DISPOSITIONS
from streams.core.contract import Coordinates, Event, Transition
from streams.core.dispositions import cause, disposition
from streams.core.record_size import OVERHEAD
from streams.core.unread import Unread
from streams.faust_runner import runner as shell_module
from streams.faust_runner.keyed import Keyed
from streams.faust_runner.runner import RunnerParts, StepRunner
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.membership_fence import MembershipFence
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.faust_runner.safety.watchdog import WorkerProgress
from streams.faust_runner.timers import DeadlineTimers
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.crash_marker import CrashMarker, DeathCounter, read_marker
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.dlq_limit import DlqLimit
from streams.runtime.exit_codes import ExitCode
from streams.runtime.outputs import Encoder
from streams.runtime.quarantine import Quarantine
from testkit.faust.pairs import LEFT, PAIRS, RIGHT, Pair, PairState, PairStep, PlainCodec, specs

STAGE = "pairs"
TICKS = f"opoi.ticks.{STAGE}"
RETRY = f"opoi.retry.{STAGE}"
CHANGELOG = f"opoi-{STAGE}-state-changelog"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Stopped(BaseException):
    """Stands for the end of the process."""


@dataclass
class Sent:
    """One record that the producer got."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    pairs: list[tuple[str, bytes | None]]

    @property
    def headers(self) -> dict[str, bytes | None]:
        return dict(self.pairs)

    @property
    def content(self) -> Any:
        return json.loads(self.value or b"")


@dataclass
class Producer:
    """Takes everything at once."""

    sent: list[Sent] = field(default_factory=list)
    error: Exception | None = None

    async def send(
        self, topic: str, key: Any, value: Any, partition: Any, timestamp: Any, headers: Any
    ) -> "asyncio.Future[None]":
        if self.error is not None:
            raise self.error
        self.sent.append(Sent(topic, key, value, partition, headers))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class Log:
    """A broker in which every offset holds a record."""

    def __init__(self) -> None:
        self.empty_from = 10**9

    def committed(self, source: Source) -> int | None:
        return None

    def bounds(self, source: Source) -> tuple[int, int]:
        return 0, 10**9

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        return start if start < self.empty_from else None


class Table(dict[bytes, bytes]):
    """A table whose store can be scanned."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(_visible_items=lambda _: self.items(), _db_for_partition=lambda _: None)


class Scene:
    """A runner around the pairing step."""

    def __init__(self, folder: Path, expire: timedelta | None = None, step: PairStep | None = None) -> None:
        self.app = SimpleNamespace(
            producer=Producer(), should_stop=False, flow_control=SimpleNamespace(is_active=lambda: True)
        )
        self.kafka = KafkaSettings(topic_names={LEFT: "physical.left"})
        self.codec = PlainCodec(STAGE, folder / "away")
        self.tracker, self.log, self.progress, self.table = OffsetTracker(), Log(), WorkerProgress(), Table()
        self.guard = ContiguityGuard(self.tracker, self.log)
        self.mark_file = folder / "mark"
        self.deaths = DeathCounter(folder / "deaths")
        self.guards = CrashGuard(
            CrashMarker(self.mark_file),
            self.deaths,
            Quarantine(folder / "in-work"),
            DlqLimit(folder / "tripped", run=5, share=1.0, window=20),
            deaths_allowed=3,
        )
        encoder = Encoder(STAGE, self.codec, specs(STAGE))
        self.timers = DeadlineTimers(STAGE, self.kafka, self.tracker, self.guard, self.guards, 2)
        self.step = step or PairStep(STAGE, expire)
        keyed = Keyed(self.step, self.table, self.codec, encoder, self.timers, partition_of, 4)
        self.fence = MembershipFence(8.0)
        logical = {self.kafka.physical(name): name for name in (LEFT, RIGHT, TICKS, RETRY)}
        self.runner = StepRunner(
            keyed,
            RunnerParts(
                app=self.app,
                kafka=self.kafka,
                codec=self.codec,
                encoder=encoder,
                tracker=self.tracker,
                guard=self.guard,
                fence=self.fence,
                guards=self.guards,
                letters=DeadLetters(STAGE, specs(STAGE)),
                progress=self.progress,
                logical=logical,
            ),
        )
        self.offsets: dict[tuple[str, int], int] = {}

    def feed(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        at: datetime = NOW,
    ) -> Source:
        physical = self.kafka.physical(topic)
        where = partition if partition is not None else partition_of((key or "").encode())
        offset = self.offsets.get((physical, where), 0)
        self.offsets[physical, where] = offset + 1
        message = SimpleNamespace(
            topic=physical,
            partition=where,
            offset=offset,
            timestamp=at.timestamp(),
            key=key.encode() if key is not None else None,
            value=value,
            headers=headers,
        )
        asyncio.run(self.runner.handle(message))
        return Source(physical, where)

    def half(self, topic: str, key: str, number: int, text: str = "", **more: Any) -> Source:
        return self.feed(topic, key, json.dumps({"id": key, "number": number, "text": text}).encode(), **more)

    def tick(self, partition: int, at: datetime, partitions: int = 4, **ends: int) -> Source:
        offsets = tuple(EndOffset(topic=topic, offset=offset) for topic, offset in ends.items())
        tick = Tick(stage=STAGE, partition=partition, partitions=partitions, at=at, end_offsets=offsets)
        return self.feed(TICKS, None, self.codec.encode(TICKS, tick), partition=partition)

    def sent(self, topic: str) -> list[Sent]:
        return [one for one in self.app.producer.sent if one.topic == topic]

    def outcomes(self) -> list[tuple[str, str, int, str, str]]:
        found = [Disposition.model_validate_json(one.value or b"") for one in self.sent(DISPOSITIONS)]
        return [(one.topic, one.outcome, one.offset, one.stage, one.reason) for one in found]


def partition_of(key: bytes) -> int:
    return int(murmur2(key) & 0x7FFFFFFF) % 4


@pytest.fixture(autouse=True)
def stop(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ExitCode, str]]:
    ends: list[tuple[ExitCode, str]] = []

    def fail_stop(code: ExitCode, event: str, /, **details: object) -> None:
        ends.append((code, event))
        raise Stopped(event)

    monkeypatch.setattr(shell_module, "fail_stop", fail_stop)
    monkeypatch.setattr("streams.faust_runner.safety.publishing.fail_stop", fail_stop)
    return ends


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_event_is_folded_written_and_finished(scene: Scene) -> None:
    source = scene.half(LEFT, "id1", 1, headers=[("traceparent", TRACEPARENT)])
    assert PairState.model_validate_json(scene.table[b"id1"]).left == 1
    assert scene.outcomes() == [(LEFT, "emitted", 0, STAGE, "paired")]
    assert scene.app.producer.sent[0].headers == {"traceparent": TRACEPARENT}
    assert scene.tracker.next_offset(source) == 1
    assert read_marker(scene.mark_file) is None
    scene.half(RIGHT, "id1", 2)
    (pair,) = scene.sent(PAIRS)
    assert (pair.key, pair.content) == (b"id1", {"id": "id1", "left": 1, "right": 2})


def test_a_traceparent_that_is_none_goes_to_no_output(scene: Scene) -> None:
    scene.half(LEFT, "id1", 1, headers=[("traceparent", b"x" * 4_000_000)])
    assert [one.headers for one in scene.app.producer.sent] == [{}]


def test_an_event_that_comes_again_is_written_again_with_the_same_bytes(scene: Scene) -> None:
    scene.half(LEFT, "id1", 1)
    before = [(one.topic, one.key, one.value) for one in scene.app.producer.sent]
    state = scene.table[b"id1"]
    scene.table.clear()
    scene.tracker.forget()
    scene.offsets.clear()
    scene.half(LEFT, "id1", 1)
    assert [(one.topic, one.key, one.value) for one in scene.app.producer.sent] == 2 * before
    assert scene.table[b"id1"] == state


def test_an_unreadable_record_is_buried_with_its_bytes(scene: Scene) -> None:
    source = scene.feed(LEFT, "k", b"\xff", headers=[("other", b"kept"), ("null", None), ("other", b"too")])
    (letter,) = scene.sent(DEAD_LETTERS)
    # the dead letters may have fewer partitions than the source
    assert (letter.key, letter.value, letter.partition) == (b"k", b"\xff", None)
    assert letter.headers["dlq.topic"] == b"left"
    assert letter.pairs[-3:] == [("orig.other", b"kept"), ("orig.null", None), ("orig.other", b"too")]
    assert scene.outcomes() == [(LEFT, "dead", 0, STAGE, "contract")]
    assert scene.tracker.next_offset(source) == 1


def test_a_batch_that_cannot_be_unpacked_is_one_dead_letter_for_all_its_records(scene: Scene) -> None:
    scene.half(LEFT, "id1", 1)
    where = partition_of(b"id1")
    source = scene.feed(LEFT, None, Unread.batch(b"the batch", "a checksum", 3), partition=where)
    (letter,) = scene.sent(DEAD_LETTERS)
    assert (letter.key, letter.value) == (None, b"the batch")
    assert letter.headers["dlq.error_type"] == b"unreadable_batch"
    assert (letter.headers["dlq.offset"], letter.headers["dlq.error"]) == (b"1", b"a checksum")
    assert letter.headers["dlq.value_bytes"] == b"9"
    assert letter.headers["dlq.value_sha256"] == sha256(b"the batch").hexdigest().encode()
    assert scene.outcomes()[1:] == [(LEFT, "dead", offset, STAGE, "unreadable_batch") for offset in (1, 2, 3)]
    assert len({one.key for one in scene.sent(DISPOSITIONS)}) == 4
    assert scene.tracker.next_offset(source) == 4
    scene.offsets[source.topic, where] = 4
    scene.half(LEFT, "id1", 2)
    assert scene.outcomes()[4:] == [(LEFT, "emitted", 4, STAGE, "paired")]


def test_a_batch_that_cannot_be_unpacked_counts_once_against_the_stage(scene: Scene) -> None:
    for start in range(0, 400, 100):
        scene.offsets[scene.kafka.physical(LEFT), 0] = start
        scene.feed(LEFT, None, Unread.batch(b"raw", "why", start + 99), partition=0)
    assert len(scene.sent(DEAD_LETTERS)) == 4


def test_a_record_that_was_not_read_whole_is_buried_with_its_head(scene: Scene) -> None:
    value = Unread.record(b"head", "it has more than 16 bytes", 0, 1_000, "abc")
    source = scene.feed(LEFT, "id1", value, headers=[("kept", b"1")])
    (letter,) = scene.sent(DEAD_LETTERS)
    assert (letter.key, letter.value) == (b"id1", b"head")
    assert letter.headers["dlq.error_type"] == b"too_large"
    assert (letter.headers["dlq.value_bytes"], letter.headers["dlq.value_sha256"]) == (b"1000", b"abc")
    assert letter.headers["orig.kept"] == b"1"
    assert scene.outcomes() == [(LEFT, "dead", 0, STAGE, "too_large")]
    assert scene.tracker.next_offset(source) == 1


def test_a_record_in_the_wrong_partition_is_buried(scene: Scene) -> None:
    wrong = (partition_of(b"id1") + 1) % 4
    scene.half(LEFT, "id1", 1, partition=wrong)
    (letter,) = scene.sent(DEAD_LETTERS)
    assert letter.headers["dlq.error_type"] == b"wrong_partition"
    assert f"belongs to partition {partition_of(b'id1')} of 4".encode() in letter.headers["dlq.error"]
    assert scene.table == {}


def test_a_record_that_was_sent_again_keeps_its_contract(scene: Scene) -> None:
    scene.half(RETRY, "id1", 1, headers=[("dlq.topic", b"left"), ("dlq.offset", b"9")])
    assert PairState.model_validate_json(scene.table[b"id1"]).left == 1
    assert scene.outcomes() == [(RETRY, "emitted", 0, STAGE, "paired")]


def test_a_failing_step_ends_the_process_unfinished_and_marked(
    scene: Scene, stop: list[tuple[ExitCode, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = []
    monkeypatch.setattr(
        shell_module.log, "debug", lambda *_, **__: marks.append(read_marker(scene.mark_file)), raising=False
    )
    with pytest.raises(Stopped, match=r"failed on physical\.left"):
        scene.half(LEFT, "id1", 1, "raise")
    assert stop[0][0] is ExitCode.OWN_FAULT
    assert "this record makes the step fail" not in stop[0][1], "a message may hold what the record holds"
    assert marks == [Coordinates(LEFT, partition_of(b"id1"), 0)]
    assert dict(scene.tracker.committable()) == {}
    assert scene.app.producer.sent == []
    assert scene.table == {}


def test_a_record_on_which_the_process_died_three_times_is_buried(scene: Scene) -> None:
    at = Coordinates(LEFT, partition_of(b"id1"), 0)
    for _ in range(3):
        scene.deaths.add(at, "sigsegv")
    scene.deaths.load()
    scene.half(LEFT, "id1", 1, "raise")
    assert scene.outcomes() == [(LEFT, "dead", 0, STAGE, "killed_the_process")]
    assert scene.deaths.count(at) == 0


def test_a_step_without_a_disposition_ends_the_process(
    tmp_path: Path, stop: list[tuple[ExitCode, str]]
) -> None:
    class Silent(PairStep):
        def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
            return Transition(PairState())

    with pytest.raises(Stopped, match="wrote 0 dispositions"):
        Scene(tmp_path, step=Silent(STAGE)).half(LEFT, "id1", 1)
    assert stop[0][0] is ExitCode.OWN_FAULT


def test_a_producer_that_refuses_ends_the_process_by_its_own_code(
    scene: Scene, stop: list[tuple[ExitCode, str]]
) -> None:
    scene.app.producer.error = RuntimeError("MessageSizeTooLarge")
    with pytest.raises(Stopped):
        scene.half(LEFT, "id1", 1)
    assert stop[0][0] is ExitCode.PRODUCE_FAILED
    assert dict(scene.tracker.committable()) == {}


def test_a_run_of_refusals_stops_the_stage_before_the_last_is_buried(
    scene: Scene, stop: list[tuple[ExitCode, str]]
) -> None:
    for _ in range(4):
        scene.feed(LEFT, "k", b"garbage")
    with pytest.raises(Stopped, match="5 records in a row were refused"):
        scene.feed(LEFT, "k", b"garbage")
    assert stop[0][0] is ExitCode.BREAKER
    assert len(scene.sent(DEAD_LETTERS)) == 4


def test_a_state_that_outgrows_its_topic_buries_the_record_and_keeps_the_state(tmp_path: Path) -> None:
    class Hoarder(PairStep):
        def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
            done = super().on_event(state, event)
            assert done.state is not None
            if done.state.right is None:
                return done
            return Transition(done.state.model_copy(update={"text": "x" * 5_000_000}), done.outputs)

    scene = Scene(tmp_path, step=Hoarder(STAGE))
    scene.half(LEFT, "id1", 1)
    scene.half(RIGHT, "id1", 2)
    assert [one[1:] for one in scene.outcomes()] == [
        ("emitted", 0, STAGE, "paired"),
        ("dead", 0, STAGE, "state_too_large"),
    ]
    assert PairState.model_validate_json(scene.table[b"id1"]).right is None
    assert scene.sent(PAIRS) == []


def test_a_key_of_megabytes_is_refused_before_anything_is_done_with_it(scene: Scene) -> None:
    key = "k" * 5_000_000
    source = scene.half(LEFT, key, 1, partition=2)
    (letter,) = scene.sent(DEAD_LETTERS)
    assert letter.headers["dlq.error"] == b"its key has 5000000 bytes, allowed are 65536: shorten the ids"
    assert letter.headers["dlq.key_bytes"] == b"5000000"
    assert scene.outcomes() == [(LEFT, "dead", 0, STAGE, "too_large")]
    assert scene.table == {}
    assert scene.tracker.next_offset(source) == 1


class Wordy(PairStep):
    """With a pair it closes an input whose id has megabytes."""

    def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
        return self._wordy(super().on_event(state, event))

    def on_deadline(self, state: PairState, key: str, now: datetime) -> Transition[PairState]:
        return self._wordy(super().on_deadline(state, key, now))

    def _wordy(self, done: Transition[PairState]) -> Transition[PairState]:
        if all(isinstance(one.record, Disposition) for one in done.outputs):
            return done
        earlier = cause(Coordinates(LEFT, 0, 99), "x" * 5_000_000)
        closing = disposition(self.stage, earlier, "emitted", "paired", NOW)
        return Transition(done.state, (*done.outputs, closing))


def test_an_input_of_which_nothing_can_be_said_is_buried(tmp_path: Path) -> None:
    scene = Scene(tmp_path, step=Wordy(STAGE))
    scene.half(LEFT, "id1", 1)
    source = scene.half(RIGHT, "id1", 2)
    assert [one[:3] for one in scene.outcomes()] == [(LEFT, "emitted", 0), (RIGHT, "dead", 0)]
    (letter,) = scene.sent(DEAD_LETTERS)
    assert letter.headers["dlq.error_type"] == b"too_large"
    assert (letter.headers["dlq.error"] or b"").startswith(b"the Disposition for opoi.dispositions has 50")
    assert letter.content["number"] == 2
    assert scene.tracker.next_offset(source) == 1
    assert PairState.model_validate_json(scene.table[b"id1"]).right is None


@pytest.mark.parametrize(("over", "reason"), [(0, "paired"), (1, "state_too_large")])
def test_one_byte_decides_whether_a_state_is_kept(tmp_path: Path, over: int, reason: str) -> None:
    class Hoarder(PairStep):
        def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
            done = super().on_event(state, event)
            assert done.state is not None
            size = 4_194_304 - OVERHEAD - len(b"id1") - len(done.state.model_dump_json()) + over
            return Transition(done.state.model_copy(update={"text": "x" * size}), done.outputs)

    scene = Scene(tmp_path, step=Hoarder(STAGE))
    scene.half(LEFT, "id1", 1)
    assert [one[-1] for one in scene.outcomes()] == [reason]
    assert [len(value) for value in scene.table.values()] == [4_194_304 - OVERHEAD - len(b"id1")] * (not over)


def test_a_registry_that_is_away_gives_up_the_event_at_a_stop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(topic: str, value: bytes | None) -> Record:
        scene.app.should_stop = True
        raise RegistryAway("no registry")

    monkeypatch.setattr(scene.codec, "decode", decode)
    source = scene.half(LEFT, "id1", 1)
    assert scene.tracker.is_held(source)
    assert dict(scene.tracker.committable()) == {}
    assert scene.app.producer.sent == []
    assert read_marker(scene.mark_file) is None


def test_an_event_whose_partition_went_elsewhere_meanwhile_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def committed(source: Source) -> int | None:
        scene.tracker.forget()
        return None

    monkeypatch.setattr(scene.log, "committed", committed)
    source = scene.half(LEFT, "id1", 1)
    assert scene.table == {}
    assert not scene.tracker.is_held(source), "in the new assignment it is read again"


def test_a_worker_without_a_lease_does_not_start_an_event(scene: Scene) -> None:
    scene.fence._renewed -= 100
    scene.app.should_stop = True
    source = scene.half(LEFT, "id1", 1)
    assert scene.table == {}
    assert scene.tracker.is_held(source)


def test_a_worker_that_lost_its_lease_during_a_step_writes_nothing(tmp_path: Path) -> None:
    class StoodStill(PairStep):
        def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
            scene.fence._renewed -= 100
            scene.app.should_stop = True
            return super().on_event(state, event)

    scene = Scene(tmp_path, step=StoodStill(STAGE))
    source = scene.half(LEFT, "id1", 1)
    assert scene.table == {}
    assert scene.app.producer.sent == []
    assert scene.tracker.is_held(source)


class TestClock:
    """Deadlines fire once the sources were read up to the tick."""

    @pytest.fixture
    def scene(self, tmp_path: Path) -> Scene:
        return Scene(tmp_path, expire=timedelta(minutes=10))

    def expired(self, scene: Scene) -> list[Pair]:
        return [Pair.model_validate_json(one.value or b"") for one in scene.sent(PAIRS)]

    def test_nothing_fires_before_its_time(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        scene.tick(here, NOW + timedelta(minutes=9), left=1, right=0)
        assert self.expired(scene) == []

    def test_what_is_due_fires_once(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        for minutes in (11, 12):
            source = scene.tick(here, NOW + timedelta(minutes=minutes), left=1, right=0)
        assert self.expired(scene) == [Pair(id="id1", left=1, right=None)]
        assert PairState.model_validate_json(scene.table[b"id1"]).expires_at is None
        assert scene.tracker.next_offset(source) == 2

    def test_a_tick_waits_for_the_sources(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        for _ in range(3):
            scene.tick(here, NOW + timedelta(minutes=11), left=1, right=1)
        assert self.expired(scene) == []
        scene.half(RIGHT, "id1", 2)
        scene.tick(here, NOW + timedelta(minutes=11), left=1, right=1)
        assert self.expired(scene) == [Pair(id="id1", left=1, right=2)]

    def test_transaction_markers_at_the_end_do_not_hold_it_for_ever(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        scene.log.empty_from = 1
        for _ in range(2):
            scene.tick(here, NOW + timedelta(minutes=11), left=3, right=0)
        assert len(self.expired(scene)) == 1
        assert scene.tracker.next_offset(Source("physical.left", here)) == 3

    def test_after_an_assignment_the_deadlines_are_read_from_the_table(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        scene.tick(here, NOW, left=1, right=0)
        scene.tracker.forget()
        scene.timers.forget()
        done = dict(scene.offsets)
        scene.log.committed = lambda source: done.get((source.topic, source.partition))  # type: ignore[method-assign]
        scene.tick(here, NOW + timedelta(minutes=11), left=1, right=0)
        assert len(self.expired(scene)) == 1

    def test_only_so_many_fire_at_once(self, scene: Scene) -> None:
        ids = [name for name in (f"id{number}" for number in range(60)) if partition_of(name.encode()) == 0]
        for name in ids[:5]:
            scene.half(LEFT, name, 1)
        fired = []
        for _ in range(3):
            scene.tick(0, NOW + timedelta(minutes=11), left=5, right=0)
            fired.append(len(self.expired(scene)))
        assert fired == [2, 4, 5]

    def test_a_tick_for_another_partition_count_fires_nothing(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        source = scene.tick(here, NOW + timedelta(minutes=11), partitions=8, left=1, right=0)
        assert self.expired(scene) == []
        assert scene.tracker.next_offset(source) == 1

    def test_a_registry_that_is_away_fires_it_later(self, scene: Scene) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        encode, failures = scene.codec.encode, [RegistryAway("away"), RegistryAway("away")]

        def unreliable(topic: str, record: Record) -> bytes:
            if topic == PAIRS and failures:
                raise failures.pop()
            return encode(topic, record)

        scene.codec.encode = unreliable  # type: ignore[method-assign]
        scene.tick(here, NOW + timedelta(minutes=11), left=1, right=0)
        assert failures == []
        assert self.expired(scene) == [Pair(id="id1", left=1, right=None)]

    @pytest.mark.parametrize("mended", ["new version", "file deleted"])
    def test_a_deadline_that_killed_the_process_is_left_alone_until_it_is_mended(
        self, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mended: str
    ) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        assert scene.timers.begin_deadline(here, "id1")
        died_on = read_marker(scene.mark_file)
        assert died_on is not None
        for _ in range(3):
            scene.deaths.add(died_on, "sigsegv")
        scene.deaths.load()
        with capture_logs() as logs:
            scene.tick(here, NOW + timedelta(minutes=11), left=1, right=0)
        assert self.expired(scene) == []
        assert PairState.model_validate_json(scene.table[b"id1"]).expires_at is not None
        [said] = [one for one in logs if "left alone" in one["event"]]
        assert Path(said["file"]).exists()
        if mended == "new version":
            monkeypatch.setattr("streams.faust_runner.timers.version", lambda _: "99.0.0")
        else:
            Path(said["file"]).unlink()
        after = Scene(tmp_path)
        after.table.update(scene.table)
        after.deaths.load()
        after.tick(here, NOW + timedelta(minutes=11), left=0, right=0)
        assert self.expired(after) == [Pair(id="id1", left=1, right=None)]

    def test_a_deadline_of_which_nothing_can_be_said_is_left_alone(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, step=Wordy(STAGE, timedelta(minutes=10)))
        names = [name for name in (f"id{number}" for number in range(60)) if partition_of(name.encode()) == 0]
        scene.half(LEFT, names[0], 1)
        with capture_logs() as logs:
            source = scene.tick(0, NOW + timedelta(minutes=11), left=1, right=0)
        assert (scene.sent(PAIRS), scene.sent(DEAD_LETTERS)) == ([], [])
        assert PairState.model_validate_json(scene.table[names[0].encode()]).expires_at is not None
        assert scene.tracker.next_offset(source) == 1
        assert read_marker(scene.mark_file) is None
        [said] = [one for one in logs if one["event"].startswith("deadline left alone")]
        assert said["key"] == names[0]
        assert said["error"].startswith("too_large: the Disposition for opoi.dispositions has ")

    def test_of_a_deadline_with_a_long_key_the_deaths_are_counted(self, scene: Scene) -> None:
        key = "k" * 3_000_000
        assert scene.timers.begin_deadline(0, key)
        died_on = read_marker(scene.mark_file)
        assert died_on is not None
        for _ in range(3):
            scene.deaths.add(died_on, "sigsegv")
        scene.deaths.load()
        assert not scene.timers.begin_deadline(0, key)
        assert scene.timers.begin_deadline(0, key + "k")

    def test_a_deadline_whose_output_is_refused_does_not_move_the_state(
        self, scene: Scene, stop: list[tuple[ExitCode, str]]
    ) -> None:
        here = scene.half(LEFT, "id1", 1).partition
        scene.app.producer.error = RuntimeError("MessageSizeTooLarge")
        with pytest.raises(Stopped):
            scene.tick(here, NOW + timedelta(minutes=11), left=1, right=0)
        assert PairState.model_validate_json(scene.table[b"id1"]).expires_at is not None
