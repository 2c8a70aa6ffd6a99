"""Where everything stands, read back from ClickHouse and the broker."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from sinks.clickhouse import ClickHouse, ClickHouseAway
from sinks.named_queries import named_query
from sinks.tables import tables
from streams.demo.feed import Sent
from streams.kafka_clients import LogOffsets, make_admin
from streams.settings import Settings

# what an input may wait for without anything being under way
RESTING = ("awaiting_verdict", "awaiting_decision", "conflict")
STAGES = ("join", "trigger", "replay", "sanitize")
POLL_SECONDS = 1.0
BROKER_SECONDS = 10.0
STABLE_POLLS = 2

_WORKING = """
SELECT count() FROM dispositions WHERE outcome = 'pending' AND reason NOT IN {resting:Array(String)}
"""


OUTCOMES = ("emitted", "duplicate", "superseded", "expired", "rejected", "withdrawn", "dead", "pending")


@dataclass(frozen=True, slots=True)
class StageCount:
    """One stage's inputs by what became of them, from the query `conservation`."""

    stage: str
    inputs: int
    outcomes: Mapping[str, int]
    unanswered: int
    """Inputs without a disposition."""

    @property
    def adds_up(self) -> bool:
        """Whether every input is accounted for."""
        return self.unanswered == 0 and self.inputs == sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Standing:
    """One look at the flow. `working`: inputs under way; `behind`: records not in ClickHouse yet."""

    stages: tuple[StageCount, ...]
    working: int
    behind: int
    arrived: tuple[int, int]
    """Decisions and verdicts of this run that stand in ClickHouse."""


def rows_of(server: ClickHouse, name: str, **given: str) -> list[dict[str, Any]]:
    """The rows of a named query."""
    query = named_query(name)
    found = server.query(query.sql, query.bind(given))
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


class Watch:
    """Looks at one run of the demo."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = ClickHouse(settings.clickhouse)
        self._admin = make_admin(settings.kafka)
        self._log_offsets = LogOffsets(settings.kafka)

    def look(self, sent: Sent) -> Standing:
        """Where everything stands now. Raises ClickHouseAway."""
        stages = self._stages()
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
        """Looks until nothing is under way any more, or `timeout` seconds have passed.

        Raises ClickHouseAway where it is away at the end of them.
        """
        give_up = time.monotonic() + timeout
        stable = 0
        before: Standing | None = None
        while True:
            try:
                now = self.look(sent)
            except ClickHouseAway:
                if time.monotonic() > give_up:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            told(now)
            whole = now.arrived == (len(sent.decisions), len(set(sent.verdicts)))
            quiet = not now.working and not now.behind and not any(one.unanswered for one in now.stages)
            stable = stable + 1 if whole and quiet and now == before else 0
            if stable >= STABLE_POLLS:
                return now, True
            if time.monotonic() > give_up:
                return now, False
            before = now
            time.sleep(POLL_SECONDS)

    def _stages(self) -> tuple[StageCount, ...]:
        rows = rows_of(self._server, "conservation")
        return tuple(
            StageCount(
                stage,
                sum(row["inputs"] for row in rows if row["stage"] == stage),
                {name: sum(row[name] for row in rows if row["stage"] == stage) for name in OUTCOMES},
                sum(row["in_work"] + row["missing"] for row in rows if row["stage"] == stage),
            )
            for stage in STAGES
            if any(row["stage"] == stage for row in rows)
        )

    def _rows(self, sql: str, **parameters: object) -> list[Any]:
        return list(self._server.query(sql, parameters).result_rows)

    def _behind(self) -> int:
        """Records on the sunk topics that ClickHouse has no row of."""
        landed: dict[tuple[str, int], int] = {}
        for name, partition, after in self._rows(_landed()):
            landed[name, partition] = after
        physical = {self._settings.kafka.physical(name): name for name in tables()}
        try:
            found = self._log_offsets.ends(self._partitions(physical))
            ends = {(one.topic, one.partition): end for one, end in found.items()}
        except KafkaException:
            return 1
        return sum(
            max(0, end - landed.get((physical[topic], partition), 0))
            for (topic, partition), end in ends.items()
        )

    def _partitions(self, physical: dict[str, str]) -> list[TopicPartition]:
        described = self._admin.list_topics(timeout=BROKER_SECONDS).topics
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
