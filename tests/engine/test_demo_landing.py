"""What the demo reads back, on the real engine: rows that are lost are missed."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from local_stack.demo.feed import Sent
from local_stack.demo.watch import Watch
from sinks import migrate
from sinks.clickhouse import ClickHouse
from sinks.settings import ClickHouseSettings
from sinks.tables import DEAD_LETTERS, tables
from streams.core.contract import Coordinates
from streams.core.unread import Unread
from streams.runtime.stored_batch import StoredBatch
from streams.settings import Settings
from streams.stages.sink.landing import Landed, landed
from tests.engine.front_process import Front
from tests.samples import TOPIC_ID, sample_row

ELSEWHERE = uuid4()


@pytest.fixture(scope="module")
def store(front: Front) -> Iterator[ClickHouse]:
    """An empty database."""
    settings = ClickHouseSettings(url=front.url, database="demo")
    migrate.up(settings)
    connected = ClickHouse(settings)
    yield connected
    connected.close()


def land(store: ClickHouse, topic: str, place: dict[str, Any], /, **changes: Any) -> None:
    table = tables()[topic]
    store.insert(table, [sample_row(table, place=place, **changes)])


def test_each_offset_counts_once_and_only_of_the_log_that_the_broker_holds(store: ClickHouse) -> None:
    for offset in (4, 5, 5, 8):
        land(store, "opoi.cases", {"offset": offset})
    land(store, "opoi.cases", {"offset": 6, "topic_id": ELSEWHERE})
    at = {"topic": "opoi.cases", "stage": "sink", "topic_id": str(TOPIC_ID)}
    land(store, DEAD_LETTERS, {"offset": 0}, offset=7, **at)
    land(store, DEAD_LETTERS, {"offset": 1}, offset=9, **(at | {"stage": "sanitize"}))
    assert landed(store, {f"{TOPIC_ID}/3": 5}) == {f"{TOPIC_ID}/3": Landed(3, 9)}
    assert landed(store, {f"{TOPIC_ID}/2": 0}) == {}


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_letter_of_a_batch_counts_for_each_of_its_records(store: ClickHouse, is_cut: bool) -> None:
    topic_id, last = uuid4(), 14
    stored = StoredBatch(0, last, 0, b"", is_passed_over=False)
    value = stored.unread(Coordinates("opoi.cases", 3, 11), "librdkafka gives none of its records").value
    assert isinstance(value, Unread)
    error = f"unreadable_batch: {value.reason}" if is_cut else value.reason
    at = {"topic": "opoi.cases", "stage": "sink", "topic_id": str(topic_id), "error": error}
    land(store, DEAD_LETTERS, {"offset": 20 + is_cut}, offset=11, **at)
    assert landed(store, {f"{topic_id}/3": 0}) == {f"{topic_id}/3": Landed(4, 15)}


class NoBroker:
    """A landing with nothing to compare."""

    def without_row(self) -> dict[str, int]:
        return {}


# decision, verdicts as (revision, kind), reviewed revisions
CASES = [
    ("joined", [(1, "correct")], [1], False),
    ("lost", [(1, "correct")], [], True),
    ("lost-later", [(1, "correct"), (2, "approve")], [1], True),
    ("superseded-first", [(1, "correct"), (2, "approve")], [2], False),
    ("taken-back", [(1, "approve"), (2, "retract")], [1, 2], False),
    ("taken-back-first", [(1, "approve"), (2, "retract")], [], False),
    ("lost-before-it-was-taken-back", [(1, "approve"), (2, "retract")], [1], True),
]


def test_a_decision_with_a_verdict_and_no_review_is_missed(
    store: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_stack.demo.watch.Landing", lambda *given: NoBroker())
    sent = Sent()
    number = iter(range(100))
    for name, verdicts, reviewed, _ in CASES:
        sent.decisions.append(name)
        land(store, "agent.decisions", {"offset": next(number)}, decision_id=name)
        of = {"decision_id": name, "verdict_id": f"v-{name}"}
        for revision, kind in verdicts:
            sent.verdicts.append((f"v-{name}", revision))
            land(store, "expert.verdicts", {"offset": next(number)}, revision=revision, kind=kind, **of)
        for revision in reviewed:
            land(store, "opoi.reviews", {"offset": next(number)}, revision=revision, status="joined", **of)
    sent.decisions.append("without-verdict")
    land(store, "agent.decisions", {"offset": next(number)}, decision_id="without-verdict")
    found = Watch(Settings(clickhouse=store.settings)).look(sent)
    assert found.arrived == (len(sent.decisions), len(sent.verdicts))
    assert list(found.unreviewed) == sorted(name for name, _, _, lost in CASES if lost)
