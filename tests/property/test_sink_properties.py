"""Whatever partitions do while the sink polls: nothing is committed that is not in ClickHouse."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RegistryAway
from schemas.memory import MemoryStore
from sinks.clickhouse import ClickHouseAway
from sinks.tables import tables
from streams.runtime.dlq_limit import Breaker
from streams.runtime.offsets import Source
from streams.stages.sink import loop
from streams.stages.sink.batch import Arrived, Batch, Entry
from streams.stages.sink.loop import Sink
from streams.stages.sink.row_mapper import BatchIntake
from tests.unit.stages.sink.sink_fakes import CODEC, TOPIC_ID, FakeLetters, FakeStore, verdict

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
    """A log of verdicts a partition, as `Feed` shows it to the sink; stops the sink after the last poll."""

    def __init__(self, script: list[Poll], away: Callable[[Poll], None]) -> None:
        self.script = script
        self.away = away
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.stop: Callable[[], None] = lambda: None

    def start(self, on_revoked: Any, on_lost: Any) -> None:
        self.leave = {"revoke": on_revoked, "lose": on_lost}

    def receive(self, seconds: float) -> list[Arrived]:
        if not self.script:
            self.stop()
            return []
        poll = self.script.pop(0)
        came = self._read(poll.before)
        self.away(poll)
        if poll.how in self.leave:
            went = poll.which & self.position.keys()
            self.leave[poll.how](frozenset(map(source, went)))
            for partition in went:
                del self.position[partition]
        elif poll.how == "assign":
            for partition in poll.which - self.position.keys():
                self.position[partition] = self.committed[partition]
        kept = [one for one in came if one.source.partition in self.position]
        return kept + self._read(poll.after)

    def _read(self, counts: tuple[int, ...]) -> list[Arrived]:
        found = []
        for partition in sorted(self.position):
            begin = self.position[partition]
            self.position[partition] = begin + counts[partition]
            found += [verdict(offset, partition) for offset in range(begin, begin + counts[partition])]
        return found

    def hold(self, held: bool) -> None:
        """The next polls bring what they bring: a pause takes effect late."""

    def commit(self, ends: Mapping[Source, int]) -> None:
        for at, end in ends.items():
            assert at.partition in self.position, "committed for the new owner"
            self.committed[at.partition] = end

    def close(self) -> None:
        self.leave["revoke"](frozenset(map(source, self.position)))


@given(script=st.lists(polls, max_size=12), rows=st.integers(1, 8), due=st.booleans())
def test_nothing_is_committed_that_was_not_landed(script: list[Poll], rows: int, due: bool) -> None:
    store, letters = FakeStore([]), FakeLetters([])
    registry_away: list[Exception] = []

    def away(poll: Poll) -> None:
        store.away.extend([ClickHouseAway("gone")] * poll.store_away)
        registry_away.extend([RegistryAway("gone")] * poll.registry_away)

    plain = BatchIntake(CODEC, MemoryStore.whole(), lambda topic: TOPIC_ID).entry

    def entry_of(message: Arrived) -> Entry:
        if registry_away:
            raise registry_away.pop()
        return plain(message)

    broker: Any = Broker(list(script), away)
    with tempfile.TemporaryDirectory() as folder, patch.object(loop, "_FIRST_WAIT", 0.0):
        sink = Sink(
            feed=broker,
            entry_of=entry_of,
            store=store,
            letters=letters,
            breaker=Breaker(Path(folder) / "tripped", run=50, share=0.5, window=200),
            batch=Batch(rows, 10**9, 0.0 if due else 3600.0),
        )
        broker.stop = sink.stop
        sink.run()
    landed = set(zip(store.column(VERDICTS, "_partition"), store.column(VERDICTS, "_offset"), strict=True))
    for partition, end in broker.committed.items():
        assert {(partition, offset) for offset in range(end)} <= landed
