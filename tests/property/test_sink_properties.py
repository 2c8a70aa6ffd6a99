"""Whatever partitions do while the sink polls: nothing is committed that is not in ClickHouse."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RegistryAway
from sinks.clickhouse import ClickHouseAway
from sinks.tables import tables
from streams.runtime.delivery import Delivery
from streams.runtime.offsets import Offsets, Position, Source
from streams.stages.sink import loop
from streams.stages.sink.batch import Batch, Entry
from streams.stages.sink.loop import Sink
from streams.stages.sink.row_mapper import RowMapper
from tests.unit.stages.sink.sink_fakes import CODEC, TOPIC_ID, FakeLetters, FakeStore, guards, verdict

VERDICTS = tables()["expert.verdicts"]
PARTITIONS = range(3)


def source(partition: int) -> Source:
    """A partition of the only topic."""
    return Source("expert.verdicts", partition)


@dataclass(frozen=True)
class Poll:
    """One poll: records before and after what happens to the partitions, and what is away from then on."""

    before: tuple[int, ...]
    how: str
    which: frozenset[int]
    after: tuple[int, ...]
    store_away: int
    registry_away: int


polls = st.builds(
    Poll,
    before=st.tuples(*[st.integers(0, 3)] * len(PARTITIONS)),
    how=st.sampled_from(["nothing", "revoke", "lose", "assign"]),
    which=st.frozensets(st.sampled_from(PARTITIONS)),
    after=st.tuples(*[st.integers(0, 3)] * len(PARTITIONS)),
    store_away=st.integers(0, 2),
    registry_away=st.integers(0, 2),
)


class Broker:
    """A log of verdicts a partition, as the consumer shows it; stops the sink after the last poll."""

    def __init__(self, script: list[Poll], away: Callable[[Poll], None]) -> None:
        self.script = script
        self.away = away
        self.offsets = Offsets()
        self.position: dict[int, int] = {}
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.sink: Sink
        self._assign(PARTITIONS)

    def start(self) -> None:
        """Partitions are there from the start."""

    def receive(self, most: int, seconds: float) -> list[Delivery]:
        if not self.script:
            self.sink.stop()
            return []
        poll = self.script.pop(0)
        came = self._read(poll.before)
        self.away(poll)
        if poll.how in ("revoke", "lose"):
            self._go(poll.how, poll.which & self.position.keys())
        elif poll.how == "assign":
            self._assign(poll.which - self.position.keys())
        return [one for one in came if one.live] + self._read(poll.after)

    def _assign(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self.position[partition] = self.committed[partition]
            self.offsets.begin(source(partition), Position((), self.committed[partition]))

    def _go(self, how: str, went: Iterable[int]) -> None:
        sources = frozenset(map(source, went))
        if how == "revoke":
            self.sink.revoked(sources)
            self.commit()
        else:
            self.sink.drop(sources)
        for each in sources:
            self.offsets.end(each)
            del self.position[each.partition]

    def _read(self, counts: tuple[int, ...]) -> list[Delivery]:
        found = []
        for partition in sorted(self.position):
            begin = self.position[partition]
            self.position[partition] = begin + counts[partition]
            of_partition = self.offsets[source(partition)]
            for offset in range(begin, begin + counts[partition]):
                assert of_partition.take(offset)
                found.append(Delivery(verdict(offset, partition), source(partition), of_partition))
        return found

    def hold(self, held: bool) -> None:
        """The next polls bring what they bring: a pause takes effect late."""

    def commit(self) -> bool:
        due = self.offsets.due()
        for at, position in due.items():
            assert at.partition in self.position, "committed for the new owner"
            self.committed[at.partition] = position.offset
        self.offsets.committed(due)
        return True

    def close(self) -> None:
        self._go("revoke", list(self.position))


@given(script=st.lists(polls, max_size=12), rows=st.integers(1, 8), due=st.booleans())
def test_nothing_is_committed_that_was_not_landed(script: list[Poll], rows: int, due: bool) -> None:
    store, letters = FakeStore([]), FakeLetters([])
    registry_away: list[Exception] = []

    def away(poll: Poll) -> None:
        store.away.extend([ClickHouseAway("gone")] * poll.store_away)
        registry_away.extend([RegistryAway("gone")] * poll.registry_away)

    plain = RowMapper(CODEC, lambda topic: TOPIC_ID).entry

    def entry_of(message: Delivery) -> Entry:
        if registry_away:
            raise registry_away.pop()
        return plain(message)

    broker: Any = Broker(list(script), away)
    with tempfile.TemporaryDirectory() as folder, patch.object(loop, "_FIRST_WAIT", 0.0):
        broker.sink = Sink(
            consumer=lambda sink: broker,
            entry_of=entry_of,
            store=store,
            letters=letters,
            guards=guards(Path(folder)),
            batch=Batch(rows, 10**9, 0.0 if due else 3600.0),
        )
        broker.sink.run()
    landed = set(zip(store.column(VERDICTS, "_partition"), store.column(VERDICTS, "_offset"), strict=True))
    for partition, end in broker.committed.items():
        assert {(partition, offset) for offset in range(end)} <= landed
