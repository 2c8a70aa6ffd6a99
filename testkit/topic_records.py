"""Valid records of any topic of the catalogue, under the keys that they belong to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from aiokafka.partitioner import murmur2

from schemas.catalog import topic as topic_spec
from schemas.codec import Codec
from schemas.examples import examples
from schemas.identity import decision_key
from schemas.record import Record
from schemas.records import Case, Review
from schemas.registry import ConfluentRegistry
from schemas.stages import RETRY, stage
from sinks.dead_letters import dead_letter
from testkit import builders
from testkit.raw_batches import RawRecord

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_UNTRUE_OFFSETS = 1_000_000_000
"""From here on: what the letters say of where they stood that were never sent before."""


class Topic:
    """Makes records of one topic, all for one partition."""

    def __init__(
        self, name: str, codec: Codec, registry: ConfluentRegistry, partition: int, partitions: int
    ) -> None:
        self.name = name
        self.partition = partition
        self._partitions = partitions
        self._codec = codec
        self._registry = registry
        self._sent = 0
        self.is_raw = topic_spec(name).record is None

    @property
    def contract(self) -> str:
        """The topic whose records it carries; a raw one carries those of another."""
        if self.name.startswith(RETRY):
            of = stage(self.name.removeprefix(RETRY))
            return next(one for one in of.sources if topic_spec(one).record is not None)
        return "expert.verdicts" if self.is_raw else self.name

    @property
    def record(self) -> str:
        """Name of the Avro record."""
        found = topic_spec(self.contract).record
        assert found is not None
        return found

    def good(self, text: str = "") -> RawRecord:
        """A valid record that was not sent before; `text` stands in it where a text may."""
        self._sent += 1
        key, made = self._valid(text)
        return RawRecord(key, self._codec.encode(self.contract, made), self._headers())

    @property
    def stood_at(self) -> tuple[str, int, int]:
        """Where the last record of a raw topic says that it stood at first."""
        return self.contract, self.partition, _UNTRUE_OFFSETS + self._sent

    def schema_id(self, schema: dict[str, Any], number: int) -> int:
        """The id of a schema of somebody else's."""
        return self._registry.register(f"hostile.{self.record}.{number}-value", schema)

    def _headers(self) -> tuple[tuple[bytes | None, bytes | None], ...]:
        """What a raw topic's record needs: what it says of its first place."""
        if not self.is_raw:
            return ()
        topic, partition, offset = self.stood_at
        said = dead_letter(
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp=LONG_AGO,
            stage="nobody",
            error_type="none",
            error="made by a test",
            failed_at=LONG_AGO,
        )
        return tuple((name.encode(), value) for name, value in said.headers())

    def _valid(self, text: str) -> tuple[bytes, Record]:
        for attempt in count():
            name = f"{self.name}-{self._sent}-{attempt}".replace(".", "-")
            made = GOOD[self.contract](self._codec, name, text) if self.contract in GOOD else None
            if made is None:
                made = _named(examples(self.contract)[0], name, text)
            fields = made.to_avro()
            if "decision_id" not in fields:
                return name.encode(), made
            key = decision_key(fields["agent"], fields["decision_id"]).encode()
            if (murmur2(key) & 0x7FFFFFFF) % self._partitions == self.partition:
                return key, made
        raise AssertionError("there is no end to names")


def _named(example: Record, name: str, text: str) -> Record:
    """An example as another record, with a text of one's own where it has one."""
    changes = {"decision_id": name} if "decision_id" in type(example).model_fields else {}
    for one in ("reason", "rationale", "summary", "note"):
        if text and isinstance(getattr(example, one, None), str):
            changes[one] = text
            break
    return example.model_copy(update=changes)


def _review(codec: Codec, name: str, text: str) -> Review:
    return Review(
        agent="media_buyer",
        account_id="a1",
        decision_id=name,
        status="decision_missing",
        verdict_id="v1",
        revision=1,
        verdict=builders.verdict(name, "decline", rationale=text or None),
        reviewed_at=builders.EPOCH,
    )


def _case(codec: Codec, name: str, text: str) -> Case:
    review = Review(
        agent="media_buyer",
        account_id="a1",
        decision_id=name,
        status="retracted",
        verdict_id="v1",
        revision=1,
        reviewed_at=builders.EPOCH,
    )
    return Case(
        agent="media_buyer",
        account_id="a1",
        decision_id=name,
        verdict_id="v1",
        revision=1,
        status="withdrawn",
        review=codec.encode("opoi.reviews", review),
        closed_at=builders.EPOCH,
        stop_reason=text or None,
    )


def _request(codec: Codec, name: str, text: str) -> Record:
    of = builders.decision(name, rationale=text or "The week looks flat.")
    # nobody runs what was to be done years ago
    return builders.replay_request(
        of,
        replay_id=name,
        decision=codec.encode("agent.decisions", of),
        requested_at=LONG_AGO,
        deadline_at=LONG_AGO + timedelta(hours=1),
    )


GOOD: dict[str, Callable[[Codec, str, str], Record]] = {
    "agent.decisions": lambda codec, name, text: builders.decision(name, rationale=text or "Flat."),
    "expert.verdicts": lambda codec, name, text: builders.verdict(name, "decline", rationale=text or None),
    "opoi.reviews": _review,
    "opoi.traces": lambda codec, name, text: builders.trace(
        builders.replay_request(builders.decision(name), replay_id=name),
        builders.action(),
        rationale=text or "Flat.",
    ),
    "opoi.replay-requests": _request,
    "opoi.cases": _case,
}
"""A valid record of a topic by name and text; of other topics their example is taken."""
