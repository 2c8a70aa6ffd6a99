"""The batch, the search for the guilty, and what becomes of a message."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from schemas.catalog import plain_schema
from schemas.codec import Codec
from schemas.errors import RegistryAway
from schemas.memory import MemoryStore
from sinks.clickhouse import BatchRefused, ClickHouseAway
from sinks.tables import DEAD_LETTERS, tables
from streams.core.unread import Unread
from streams.runtime.offsets import Source
from streams.stages.sink.batch import Batch, Entry, Refusal, insert_bisecting
from streams.stages.sink.row_mapper import RowMapper, unknown_fields
from tests.samples import dead_letter, sample
from tests.unit.stages.sink.sink_fakes import CODEC, TOPIC_ID, arrived, delivery, verdict

VERDICTS = tables()["expert.verdicts"]


def entry(offset: int, partition: int = 0) -> Entry:
    return Entry(delivery(verdict(offset, partition)), TOPIC_ID, VERDICTS, (offset,))


def intake(store: Any = None) -> RowMapper:
    store = store or MemoryStore.whole()
    return RowMapper(Codec(store), lambda topic: TOPIC_ID)


class TestBatch:
    def test_it_is_due_by_rows_bytes_or_time(self) -> None:
        batch = Batch(rows=3, bytes=10**6, seconds=1.0)
        assert not batch.is_due(100.0)
        batch.add(entry(0), 100.0)
        assert not batch.is_due(100.9)
        assert batch.is_due(101.0)
        batch.add(entry(1), 100.1)
        batch.add(entry(2), 100.2)
        assert batch.is_due(100.2)
        size = len(verdict(0).value or b"")
        small = Batch(rows=10, bytes=2 * size, seconds=1.0)
        small.add(entry(0), 100.0)
        assert not small.is_full()
        small.add(entry(0), 100.0)
        assert small.is_full()

    def test_messages_that_lead_to_nothing_move_the_offset_too(self) -> None:
        batch = Batch(10, 10**6, 1.0)
        batch.add(entry(4), 0.0)
        batch.add(Entry(delivery(verdict(5)), TOPIC_ID), 0.0)
        batch.add(entry(7, partition=1), 0.0)
        assert [(at.partition, at.offset) for at in batch.coordinates()] == [(0, 4), (0, 5), (1, 7)]
        assert [len(found) for found in batch.to_land().values()] == [2]

    def test_what_went_elsewhere_is_forgotten(self) -> None:
        batch = Batch(2, 10**6, 1.0)
        batch.add(entry(4), 0.0)
        batch.add(entry(7, partition=1), 0.0)
        batch.drop({Source("expert.verdicts", 0)})
        assert [(at.partition, at.offset) for at in batch.coordinates()] == [(1, 7)]
        assert not batch.is_full()

    def test_a_closed_batch_takes_nothing_more_until_it_is_landed(self) -> None:
        batch = Batch(10, 10**6, 3600.0)
        batch.close()
        assert not batch.is_full()
        batch.add(entry(4), 0.0)
        batch.close()
        assert batch.is_due(0.0)
        batch.clear()
        assert not batch.is_full()

    def test_a_table_is_landed_once(self) -> None:
        batch = Batch(2, 10**6, 1.0)
        batch.add(entry(4), 0.0)
        batch.landed.add(VERDICTS.name)
        assert batch.to_land() == {}


class TestJudged:
    @pytest.mark.parametrize("bad", [set(), {0}, {6}, {2, 3}, set(range(7))])
    def test_the_bad_are_found_and_the_others_landed_once(self, bad: set[int]) -> None:
        landed: list[int] = []

        def land(entries: Any) -> None:
            offsets = [each.arrived.coordinates.offset for each in entries]
            if bad & set(offsets):
                raise BatchRefused(f"bad: {bad & set(offsets)}")
            landed.extend(offsets)

        found = list(insert_bisecting([entry(offset) for offset in range(7)], land))
        assert [(each.arrived.coordinates.offset, reason) for each, reason in found] == [
            (offset, f"bad: {{{offset}}}" if offset in bad else None) for offset in range(7)
        ]
        assert landed == [offset for offset in range(7) if offset not in bad]

    def test_few_bad_ones_cost_few_inserts(self) -> None:
        inserts = []

        def land(entries: Any) -> None:
            inserts.append(len(entries))
            if any(each.arrived.coordinates.offset == 700 for each in entries):
                raise BatchRefused("bad")

        refused = [
            each
            for each, reason in insert_bisecting([entry(offset) for offset in range(1024)], land)
            if reason
        ]
        assert len(refused) == 1
        assert len(inserts) == 2 * 10 + 1

    def test_who_stops_asking_stops_the_search(self) -> None:
        inserts = []

        def land(entries: Any) -> None:
            inserts.append(len(entries))
            raise BatchRefused("bad")

        next(insert_bisecting([entry(offset) for offset in range(1024)], land))
        assert len(inserts) == 11

    def test_away_is_nobodys_guilt(self) -> None:
        def land(entries: Any) -> None:
            raise ClickHouseAway("gone")

        with pytest.raises(ClickHouseAway):
            list(insert_bisecting([entry(0), entry(1)], land))


class TestIntake:
    def test_a_record_becomes_a_row_at_its_coordinates(self) -> None:
        found = intake().entry(delivery(verdict(41, partition=2)))
        assert found.table is VERDICTS
        assert found.row is not None
        values = dict(zip((column.name for column in VERDICTS.landed), found.row, strict=True))
        assert (values["_topic_id"], values["_partition"], values["_offset"]) == (TOPIC_ID, 2, 41)
        assert values["_schema_id"] == int.from_bytes((verdict(41).value or b"")[1:5], "big")

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (b"", "empty_body"),
            (None, "empty_body"),
            (b"\x01abcd", "not_framed"),
            (b"\x00\x00\x00\x00\x01x", "unknown_schema_id"),
            ((verdict(0).value or b"")[:-1], "truncated"),
            ((verdict(0).value or b"") + b"x", "trailing_bytes"),
            (CODEC.encode("opoi.alerts", sample("Alert")), "wrong_record"),
        ],
    )
    def test_what_can_never_be_decoded_is_refused(self, value: bytes | None, kind: str) -> None:
        found = intake().entry(delivery(arrived("expert.verdicts", 0, value)))
        assert found.row is None
        assert found.refusal is not None
        assert found.refusal.kind == kind

    def test_a_registry_that_is_away_is_no_refusal(self) -> None:
        class Away:
            def schema_of(self, schema_id: int) -> dict[str, Any]:
                raise RegistryAway("gone")

        with pytest.raises(RegistryAway):
            intake(Away()).entry(delivery(verdict(0)))

    def test_a_deletion_in_a_compacted_topic_is_nothing(self) -> None:
        found = intake().entry(delivery(arrived("agent.artifacts", 0, None)))
        assert (found.row, found.refusal) == (None, None)

    def test_a_batch_that_cannot_be_read_is_refused_as_what_it_is(self) -> None:
        for topic in ("expert.verdicts", "agent.artifacts", DEAD_LETTERS):
            value = Unread.batch(b"\x00\x00\x00\x00\x05bytes", "the codec", 9)
            found = intake().entry(delivery(arrived(topic, 0, value)))
            assert found.row is None
            assert found.refusal == Refusal("unreadable_batch", "the codec")

    def test_a_dead_letter_is_landed_whatever_it_holds(self) -> None:
        found = intake().entry(delivery(arrived(DEAD_LETTERS, 0, b"\x00", headers=dead_letter())))
        assert found.table is tables()[DEAD_LETTERS]
        assert intake().entry(delivery(arrived(DEAD_LETTERS, 0, None))).refusal is None

    def test_a_record_that_was_sent_again_takes_its_first_place(self) -> None:
        first = UUID("7a9fc1a2-5f6e-4d3c-8b7a-1e2d3c4b5a69")
        headers = dead_letter(topic="expert.verdicts", partition=5, offset=77, topic_id=str(first))
        found = intake().entry(delivery(arrived("opoi.retry.sink", 0, verdict(1).value, headers=headers)))
        assert found.table is VERDICTS
        assert found.row is not None
        values = dict(zip((column.name for column in VERDICTS.landed), found.row, strict=True))
        assert (values["_topic_id"], values["_topic"]) == (first, "expert.verdicts")
        assert (values["_partition"], values["_offset"]) == (5, 77)

    @pytest.mark.parametrize(
        "headers",
        [[], dead_letter(topic="nowhere"), dead_letter(topic=DEAD_LETTERS), dead_letter(topic_id="x")],
        ids=["none", "no topic", "no records", "no id"],
    )
    def test_what_was_sent_again_without_a_place_is_refused(self, headers: list[tuple[str, bytes]]) -> None:
        found = intake().entry(delivery(arrived("opoi.retry.sink", 0, verdict(1).value, headers=headers)))
        assert found.refusal is not None
        assert found.refusal.kind == "unreadable_headers"

    def test_what_was_sent_again_with_unreadable_headers_is_refused_as_that(self) -> None:
        record = replace(arrived("opoi.retry.sink", 0, verdict(1).value), has_headers=False)
        found = intake().entry(delivery(record))
        assert found.refusal is not None
        assert (found.refusal.kind, found.refusal.reason) == (
            "unreadable_headers",
            "its headers are unreadable, and they say where it stood first",
        )

    def test_a_writers_field_without_a_column_is_told_once(self) -> None:
        newer = plain_schema("ExpertVerdict")
        newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None, "doc": "New."})
        store = MemoryStore.whole()
        schema_id = store.register("expert.verdicts-value", newer)
        value = b"\x00" + schema_id.to_bytes(4, "big") + (verdict(0).value or b"")[5:] + b"\x00"
        reading = intake(store)
        with capture_logs() as logs:
            assert reading.entry(delivery(arrived("expert.verdicts", 0, value))).refusal is None
            reading.entry(delivery(arrived("expert.verdicts", 1, value)))
        assert [line["fields"] for line in logs] == [["ExpertVerdict.mood"]]

    def test_what_a_writers_schema_holds_beside_avro_stops_nothing(self) -> None:
        newer = plain_schema("ExpertVerdict")
        odd = {"type": "string", "items": {"no": "type"}, "fields": [{}], "doc": 7}
        newer["fields"].append({"name": "x" * 500 + "\n", "type": ["null", odd], "default": None})
        newer["fields"] += [
            {"name": f"mood_{at}", "type": ["null", odd], "default": None} for at in range(99)
        ]
        store = MemoryStore.whole()
        schema_id = store.register("expert.verdicts-value", newer)
        value = b"\x00" + schema_id.to_bytes(4, "big") + (verdict(0).value or b"")[5:] + bytes(100)
        with capture_logs() as logs:
            assert intake(store).entry(delivery(arrived("expert.verdicts", 0, value))).refusal is None
        [line] = logs
        assert (line["count"], len(line["fields"])) == (100, 20)
        assert all(field.isprintable() for field in line["fields"])

    def test_a_schema_of_another_subject_is_refused(self) -> None:
        newer = plain_schema("ExpertVerdict")
        newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
        store = MemoryStore.whole()
        schema_id = store.register("another-value", newer)
        value = b"\x00" + schema_id.to_bytes(4, "big") + (verdict(0).value or b"")[5:] + b"\x00"
        found = intake(store).entry(delivery(arrived("expert.verdicts", 0, value)))
        assert found.refusal is not None
        assert found.refusal.kind == "wrong_subject"


def test_unknown_fields_are_found_at_any_depth() -> None:
    writer = plain_schema("Review")
    [verdict_field] = [field for field in writer["fields"] if field["name"] == "verdict"]
    verdict_field["type"][1]["fields"].append({"name": "mood", "type": "string"})
    assert list(unknown_fields(writer, plain_schema("Review"))) == ["ExpertVerdict.mood"]
    assert list(unknown_fields(plain_schema("Review"), writer)) == []
