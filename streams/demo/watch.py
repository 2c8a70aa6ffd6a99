"""Where everything stands, read back from ClickHouse and the broker."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.demo.feed import Sent
from streams.kafka_clients import make_admin
from streams.settings import Settings

# what an input may wait for without anything being under way
RESTING = ("awaiting_verdict", "awaiting_decision", "conflict")
POLL_SECONDS = 1.0
STABLE_POLLS = 2

_WORKING = """
SELECT count() FROM dispositions WHERE outcome = 'pending' AND reason NOT IN {resting:Array(String)}
"""


@dataclass(frozen=True, slots=True)
class StageCount:
    """One stage's inputs by what became of them; a row of the query `conservation`."""

    stage: str
    inputs: int
    emitted: int
    duplicate: int
    superseded: int
    expired: int
    rejected: int
    withdrawn: int
    dead: int
    pending: int
    missing: int

    @property
    def adds_up(self) -> bool:
        """Whether every input is accounted for."""
        told = self.emitted + self.duplicate + self.superseded + self.expired + self.rejected
        return self.missing == 0 and self.inputs == told + self.withdrawn + self.dead + self.pending


@dataclass(frozen=True, slots=True)
class Standing:
    """One look at the flow. `working`: inputs under way; `behind`: records not in ClickHouse yet."""

    stages: tuple[StageCount, ...]
    working: int
    behind: int
    arrived: tuple[int, int]
    """Decisions and verdicts of this run that stand in ClickHouse."""


def named(name: str) -> str:
    """SQL of a named query."""
    return (files("sinks") / "queries" / f"{name}.sql").read_text()


class Watch:
    """Looks at one run of the demo."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = ClickHouse(settings.clickhouse)
        self._admin = make_admin(settings.kafka)

    def look(self, sent: Sent) -> Standing:
        """Where everything stands now. Raises ClickHouseAway."""
        stages = tuple(StageCount(*row) for row in self._rows(named("conservation")))
        [[working]] = self._rows(_WORKING, resting=list(RESTING))
        ids = {"decisions": sent.decisions, "verdicts": [verdict_id for verdict_id, _ in sent.verdicts]}
        [[decisions]] = self._rows(
            "SELECT uniqExact(decision_id) FROM agent_decisions_raw"
            " WHERE decision_id IN {decisions:Array(String)}",
            **ids,
        )
        [[verdicts]] = self._rows(
            "SELECT uniqExact(verdict_id, revision) FROM expert_verdicts_raw"
            " WHERE verdict_id IN {verdicts:Array(String)}",
            **ids,
        )
        return Standing(stages, working, self._behind(), (decisions, verdicts))

    def until_done(
        self, sent: Sent, timeout: float, told: Callable[[Standing], None]
    ) -> tuple[Standing, bool]:
        """Looks until nothing is under way any more, or `timeout` seconds have passed."""
        give_up = time.monotonic() + timeout
        stable = 0
        before: Standing | None = None
        while True:
            now = self.look(sent)
            told(now)
            whole = now.arrived == (len(sent.decisions), len(set(sent.verdicts)))
            quiet = not now.working and not now.behind and not sum(one.missing for one in now.stages)
            stable = stable + 1 if whole and quiet and now == before else 0
            if stable >= STABLE_POLLS:
                return now, True
            if time.monotonic() > give_up:
                return now, False
            before = now
            time.sleep(POLL_SECONDS)

    def _rows(self, sql: str, **parameters: object) -> list[Any]:
        return list(self._server.query(sql, parameters).result_rows)

    def _behind(self) -> int:
        """Records on the sunk topics that ClickHouse has no row of."""
        landed: dict[tuple[str, int], int] = {}
        for name, partition, after in self._rows(_landed()):
            landed[name, partition] = after
        physical = {self._settings.kafka.physical(name): name for name in tables()}
        wanted = self._partitions(physical)
        try:
            found = self._admin.list_offsets(
                {one: OffsetSpec.latest() for one in wanted}  # type: ignore[no-untyped-call]
            )
            ends = {(one.topic, one.partition): future.result().offset for one, future in found.items()}
        except KafkaException:
            # a broker that is away has something to come
            return 1
        return sum(
            max(0, end - landed.get((physical[topic], partition), 0))
            for (topic, partition), end in ends.items()
        )

    def _partitions(self, physical: dict[str, str]) -> list[TopicPartition]:
        described = self._admin.list_topics(timeout=10).topics
        return [
            TopicPartition(name, partition)
            for name in physical
            if name in described
            for partition in described[name].partitions
        ]


def _landed() -> str:
    """The query for where each partition's rows end; what the sink could not read ends there too."""
    places = [
        f"SELECT toString(_topic) AS topic, _partition AS partition, _offset AS offset FROM {table.name}"
        for table in tables().values()
    ]
    places.append("SELECT toString(topic), partition, offset FROM dead_letters_raw WHERE stage = 'sink'")
    union = " UNION ALL ".join(places)
    return f"SELECT topic, partition, max(offset) + 1 FROM ({union}) GROUP BY topic, partition"
