"""The loop of the sink, with everything around it in memory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RegistryAway
from sinks.clickhouse import ClickHouseAway
from sinks.dead_letters import parse_dead_letter
from sinks.tables import DEAD_LETTERS, tables
from streams.core.contract import Coordinates
from streams.core.message import Message
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import ExitCode
from streams.runtime.kafka_clients import DeliveryFailed
from streams.runtime.offsets import Source
from streams.runtime.quarantine import quarantine_all_in_work
from streams.runtime.supervisor import WorkerFolders
from streams.stages.sink import loop
from streams.stages.sink.batch import Batch, Entry
from streams.stages.sink.loop import Sink
from streams.stages.sink.ports import SinkStopped
from streams.stages.sink.row_mapper import RowMapper
from tests.samples import dead_letter, sample
from tests.unit.stages.sink.sink_fakes import (
    CODEC,
    TOPIC_ID,
    FakeFeed,
    FakeLetters,
    FakeStore,
    arrived,
    guards,
    verdict,
)

VERDICTS = tables()["expert.verdicts"]
FIRST, SECOND = Source("expert.verdicts", 0), Source("expert.verdicts", 1)


class World:
    """A sink and what is around it."""

    def __init__(self, folder: Path, rows: int = 100, seconds: float = 0.0, run: int = 50) -> None:
        self.happened: list[str] = []
        self.store = FakeStore(self.happened)
        self.letters = FakeLetters(self.happened)
        self.entry_of: Callable[[Delivery], Entry] = RowMapper(CODEC, lambda topic: TOPIC_ID).entry
        self.guards = guards(folder, dlq_limit_run=run)
        self.batch = Batch(rows, 10**9, seconds)

    def run(self, polls: Sequence[Any]) -> FakeFeed:
        """Runs the sink over `polls`, then stops it."""
        self.feed = FakeFeed(polls, self.happened)
        self.feed.sink = Sink(
            consumer=lambda sink: self.feed,
            entry_of=lambda message: self.entry_of(message),
            store=self.store,
            letters=self.letters,
            guards=self.guards,
            batch=self.batch,
        )
        self.feed.sink.run()
        return self.feed


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_FIRST_WAIT", 0.001)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_rows_are_landed_before_their_offsets_are_committed(world: World) -> None:
    feed = world.run([[verdict(0), verdict(1), verdict(5, partition=1)]])
    assert world.happened[:2] == ["insert expert_verdicts_raw", "commit"]
    assert world.store.column(VERDICTS, "_offset") == [0, 1, 5]
    assert feed.committed == {FIRST: 2, SECOND: 6}


def test_what_is_in_hand_at_the_stop_is_landed(tmp_path: Path) -> None:
    world = World(tmp_path, seconds=3600)
    feed = world.run([[verdict(0)]])
    assert feed.committed == {FIRST: 1}
    assert world.store.column(VERDICTS, "_offset") == [0]


def test_a_full_batch_is_landed_before_more_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path, rows=2, seconds=3600)
    world.run([[verdict(offset) for offset in range(5)]])
    assert world.happened.count("insert expert_verdicts_raw") == 3
    assert world.store.column(VERDICTS, "_offset") == [0, 1, 2, 3, 4]


def test_clickhouse_away_is_waited_for(world: World) -> None:
    world.store.away.extend([ClickHouseAway("gone")] * 3)
    feed = world.run([[verdict(0)], [], [], []])
    assert world.happened[:6] == ["hold", "hold", "hold", "insert expert_verdicts_raw", "go on", "commit"]
    assert feed.committed == {FIRST: 1}


def test_the_registry_away_is_waited_for(world: World) -> None:
    answers = iter([RegistryAway("gone"), RegistryAway("gone")])
    plain = world.entry_of

    def entry_of(message: Delivery) -> Entry:
        for error in answers:
            raise error
        return plain(message)

    world.entry_of = entry_of
    assert world.run([[verdict(0)], [], [], []]).committed == {FIRST: 1}


def test_a_stop_while_clickhouse_is_away_commits_nothing(world: World) -> None:
    world.store.away.extend([ClickHouseAway("gone")] * 10**5)
    assert world.run([[verdict(0)]]).committed == {}


def test_a_table_that_is_landed_is_not_landed_again_when_the_next_one_fails(world: World) -> None:
    alert = arrived("opoi.alerts", 0, CODEC.encode("opoi.alerts", sample("Alert")))
    inserts = []
    plain = world.store.insert

    def insert(table: Any, rows: Any) -> None:
        inserts.append(table.name)
        if inserts.count("alerts_raw") < 3 and table.name == "alerts_raw":
            raise ClickHouseAway("gone")
        plain(table, rows)

    world.store.insert = insert  # type: ignore[method-assign]
    world.run([[verdict(0), alert], [], [], []])
    assert inserts == ["expert_verdicts_raw", "alerts_raw", "alerts_raw", "alerts_raw"]


def test_rows_that_come_after_a_table_was_landed_are_landed_too(tmp_path: Path) -> None:
    """A rebalance while ClickHouse goes away between two tables of one landing."""
    world = World(tmp_path, seconds=3600)
    alert = arrived("opoi.alerts", 0, CODEC.encode("opoi.alerts", sample("Alert")))
    plain = world.store.insert
    gone = iter([ClickHouseAway("gone")])

    def insert(table: Any, rows: Any) -> None:
        if table.name == "alerts_raw":
            for error in gone:
                raise error
        plain(table, rows)

    world.store.insert = insert  # type: ignore[method-assign]
    feed = world.run([[verdict(0), alert], lambda: world.feed.revoke(frozenset({SECOND})), [verdict(8)]])
    assert set(world.store.column(VERDICTS, "_offset")) == {0, 8}
    assert feed.committed[FIRST] == 9


def test_one_table_that_refuses_all_stops_the_sink_beside_others_that_do_not(tmp_path: Path) -> None:
    world = World(tmp_path, run=10)
    offset = [column.name for column in VERDICTS.landed].index("_topic_id")
    alerts = [arrived("opoi.alerts", n, CODEC.encode("opoi.alerts", sample("Alert"))) for n in range(40)]
    world.store.refuses = lambda row: len(row) == len(VERDICTS.landed) and row[offset] == TOPIC_ID
    with pytest.raises(SinkStopped, match="10 records in a row were refused") as stopped:
        world.run([[verdict(n), alerts[2 * n], alerts[2 * n + 1]] for n in range(20)])
    assert stopped.value.code == ExitCode.BREAKER
    assert len(world.letters.sent) == 9


def test_few_bad_rows_among_many_stop_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, rows=1000, seconds=3600, run=10)
    revision = [column.name for column in VERDICTS.landed].index("revision")
    world.store.refuses = lambda row: row[revision] % 50 == 0
    world.run([[verdict(number) for number in range(1000)]])
    assert len(world.letters.sent) == 20


def test_what_can_never_be_decoded_goes_to_the_dead_letters_with_its_bytes(world: World) -> None:
    own = (("traceparent", b"00-0"), ("traceparent", b"00-1"), ("null", None))
    bad = arrived("expert.verdicts", 1, b"\x01bad", headers=own)
    feed = world.run([[verdict(0), bad]])
    assert world.happened[:3] == ["insert expert_verdicts_raw", "flush", "commit"]
    [(key, value, headers)] = world.letters.sent
    assert (key, value) == (b"k", b"\x01bad")
    letter = parse_dead_letter(headers)
    assert (letter.topic, letter.partition, letter.offset, letter.stage) == ("expert.verdicts", 0, 1, "sink")
    assert (letter.error_type, letter.topic_id) == ("not_framed", str(TOPIC_ID))
    assert letter.original_headers == own
    assert feed.committed == {FIRST: 2}


def test_refused_rows_are_found_and_the_others_landed(world: World) -> None:
    place = [column.name for column in VERDICTS.landed].index("revision")
    world.store.refuses = lambda row: row[place] in (3, 8)
    feed = world.run([[verdict(offset) for offset in range(10)]])
    assert world.store.column(VERDICTS, "_offset") == [0, 1, 2, 4, 5, 6, 7, 9]
    assert [parse_dead_letter(headers).offset for _, _, headers in world.letters.sent] == [3, 8]
    assert feed.committed == {FIRST: 10}


def test_many_refused_rows_stop_the_sink(tmp_path: Path) -> None:
    world = World(tmp_path, run=5)
    world.store.refuses = lambda row: True
    with pytest.raises(SinkStopped, match="5 records in a row were refused") as stopped:
        world.run([[verdict(offset) for offset in range(20)]])
    assert stopped.value.code == 74
    assert world.letters.sent == []
    assert world.feed.committed == {}


def test_many_undecodable_records_stop_the_sink(tmp_path: Path) -> None:
    world = World(tmp_path, run=5)
    with pytest.raises(SinkStopped, match="not_framed") as stopped:
        world.run([[verdict(offset, value=b"\x01bad") for offset in range(20)]])
    assert stopped.value.code == 74
    assert (world.letters.sent, world.feed.committed) == ([], {})


def test_a_refused_dead_letter_stops_the_sink(world: World) -> None:
    world.store.refuses = lambda row: True
    with pytest.raises(SinkStopped, match=r"refuses the dead letter opoi.dead-letters\[0\]@4") as stopped:
        world.run([[arrived(DEAD_LETTERS, 4, b"x", headers=dead_letter())]])
    assert stopped.value.code == ExitCode.DEAD_LETTER_REFUSED
    assert (world.letters.sent, world.feed.committed) == ([], {})


def test_a_dead_letter_that_cannot_be_written_stops_the_sink(world: World) -> None:
    world.letters.fails = DeliveryFailed("1 records were not acknowledged")
    with pytest.raises(SinkStopped, match=r"opoi\.dead-letters cannot be written") as stopped:
        world.run([[verdict(0), verdict(1, value=b"\x01bad")]])
    assert stopped.value.code == 71
    assert world.feed.committed == {}


class TestRebalance:
    """Partitions that go elsewhere."""

    def test_what_is_in_hand_is_landed_and_committed_first(self, tmp_path: Path) -> None:
        world = World(tmp_path, seconds=3600)
        seen = []

        def revoke() -> None:
            world.feed.revoke(frozenset({FIRST}))
            seen.append(dict(world.feed.committed))

        feed = world.run([[verdict(0), verdict(7, partition=1)], revoke, [verdict(8, partition=1)]])
        assert seen == [{FIRST: 1, SECOND: 8}]
        assert feed.committed == {FIRST: 1, SECOND: 9}
        assert world.store.column(VERDICTS, "_offset") == [0, 7, 8]

    @pytest.mark.parametrize("how", ["revoke", "lose"])
    def test_what_comes_with_the_poll_in_which_others_go_is_landed(self, world: World, how: str) -> None:
        def going() -> list[Message]:
            getattr(world.feed, how)(frozenset({FIRST}))
            return [verdict(8, partition=1), verdict(9, partition=1)]

        feed = world.run([[verdict(7, partition=1)], going, [verdict(10, partition=1)]])
        assert world.store.column(VERDICTS, "_offset") == [7, 8, 9, 10]
        assert feed.committed == {SECOND: 11}

    def test_while_clickhouse_is_away_they_are_given_back_uncommitted(self, world: World) -> None:
        world.store.away.extend([ClickHouseAway("gone")] * 2)
        feed = world.run(
            [[verdict(0), verdict(7, partition=1)], lambda: world.feed.revoke(frozenset({FIRST})), [], []]
        )
        assert feed.committed == {SECOND: 8}
        assert world.store.column(VERDICTS, "_offset") == [7]

    def test_clickhouse_away_at_that_moment_leaves_them_to_the_next_owner(self, tmp_path: Path) -> None:
        world = World(tmp_path, seconds=3600)

        def revoke() -> None:
            world.store.away.append(ClickHouseAway("gone"))
            world.feed.revoke(frozenset({FIRST}))

        feed = world.run([[verdict(0), verdict(7, partition=1)], revoke])
        assert feed.committed == {SECOND: 8}

    def test_a_message_that_waits_for_the_registry_goes_with_its_partition(self, world: World) -> None:
        plain = world.entry_of
        away = iter([RegistryAway("gone")])

        def entry_of(message: Delivery) -> Entry:
            for error in away:
                raise error
            return plain(message)

        world.entry_of = entry_of
        feed = world.run(
            [[verdict(0), verdict(7, partition=1)], lambda: world.feed.lose(frozenset({FIRST})), []]
        )
        assert feed.committed == {SECOND: 8}

    def test_a_stop_from_within_the_callback_reaches_the_caller(self, tmp_path: Path) -> None:
        world = World(tmp_path, seconds=3600)
        world.store.refuses = lambda row: True
        letter = arrived(DEAD_LETTERS, 4, b"x", headers=dead_letter())
        with pytest.raises(SinkStopped):
            world.run([[letter], lambda: world.feed.revoke(frozenset({FIRST})), []])
        assert world.feed.committed == {}


def test_a_record_that_killed_the_process_goes_to_the_dead_letters(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(3):
        world.guards.deaths.add(Coordinates("expert.verdicts", 0, 1), "sigsegv")
    world.guards.deaths.load()
    feed = world.run([[verdict(0), verdict(1), verdict(2)]])
    [(_, _, headers)] = world.letters.sent
    assert parse_dead_letter(headers).error_type == "killed_the_process"
    assert world.store.column(VERDICTS, "_offset") == [0, 2]
    assert feed.committed == {FIRST: 3}


def test_suspects_are_landed_in_lots_of_their_own(tmp_path: Path) -> None:
    first = World(tmp_path, rows=1000, seconds=3600)
    places = [Coordinates("expert.verdicts", 0, offset) for offset in range(200)]
    first.guards.suspects.in_work(places)
    quarantine_all_in_work(WorkerFolders(tmp_path, "sink", "1").in_work)
    world = World(tmp_path, rows=1000, seconds=3600)
    sizes: list[int] = []
    plain = world.store.insert

    def insert(table: Any, rows: Any) -> None:
        sizes.append(len(rows))
        plain(table, rows)

    world.store.insert = insert  # type: ignore[method-assign]
    world.run([[verdict(offset) for offset in range(300)]])
    assert sizes == [3] * 66 + [2, 100]
    assert not world.guards.suspects
