"""Progress of a demo run, read from ClickHouse and the broker."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from local_stack.demo.feed import Sent
from schemas.errors import BrokerAway
from schemas.stages import stages
from sinks.clickhouse import ClickHouse, ClickHouseAway
from sinks.named_queries import named_query
from streams.settings import Settings
from streams.stages.sink.landing import Landing

# what an input may wait for while nothing is in work; a verdict of this run always has its
# decision and must have its review, one of another feed may wait for a decision that never comes
RESTING = ("awaiting_verdict", "awaiting_decision", "conflict")
POLL_SECONDS = 1.0
STABLE_POLLS = 2

_WORKING = """
SELECT count() FROM dispositions WHERE outcome = 'pending' AND reason NOT IN {resting:Array(String)}
"""
# a verdict that is retracted before its decision arrives is never reviewed
_UNREVIEWED = """
WITH reviewed AS
(
    SELECT assumeNotNull(verdict_id) AS verdict, assumeNotNull(revision) AS revision
    FROM reviews
    WHERE decision_id IN {decisions:Array(String)} AND verdict_id IS NOT NULL AND revision IS NOT NULL
)
SELECT decision
FROM
(
    SELECT
        verdict_id AS verdict, any(decision_id) AS decision,
        max(revision) AS last, argMax(kind, revision) AS said
    FROM expert_verdicts
    WHERE verdict_id IN {verdicts:Array(String)}
    GROUP BY verdict_id
)
WHERE (verdict, last) NOT IN (SELECT verdict, revision FROM reviewed)
    AND (said != 'retract' OR verdict IN (SELECT verdict FROM reviewed))
ORDER BY decision
"""


OUTCOMES = ("emitted", "duplicate", "superseded", "expired", "rejected", "withdrawn", "dead", "pending")


@dataclass(frozen=True, slots=True)
class StageCount:
    """One stage's inputs by disposition, from the query `conservation`."""

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
    """One look at the flow."""

    stages: tuple[StageCount, ...]
    working: int
    """Inputs in work."""
    behind: Mapping[str, int] | None
    """Records without a row in ClickHouse, by `topic[partition]`; None: the broker does not answer."""
    arrived: tuple[int, int]
    """Decisions and verdicts of this run that are in ClickHouse."""
    unreviewed: tuple[str, ...] = ()
    """Decisions of this run whose last verdict has no review."""

    @property
    def not_landed(self) -> int | None:
        """Records without a row in ClickHouse; None: the broker does not answer."""
        return None if self.behind is None else sum(self.behind.values())

    def missing(self, sent: Sent) -> list[str]:
        """What is still missing, in words; empty: nothing is in work or lost."""
        wanted = (len(sent.decisions), len(set(sent.verdicts)))
        found = [
            f"{there} of {given} {name} have a row"
            for name, there, given in zip(("decisions", "verdicts"), self.arrived, wanted, strict=True)
            if there != given
        ]
        if self.unreviewed:
            found.append(f"{len(self.unreviewed)} verdicts have no review, the first on {self.unreviewed[0]}")
        found += [
            f"{one.unanswered} inputs of {one.stage} have no disposition"
            if one.unanswered
            else f"{one.stage} has {one.inputs} inputs and {sum(one.outcomes.values())} outcomes"
            for one in self.stages
            if not one.adds_up
        ]
        if self.working:
            found.append(f"{self.working} inputs wait for their closing outcome")
        if self.behind is None:
            found.append("the broker does not answer, so records that are not landed are unknown")
        elif self.behind:
            places = ", ".join(f"{records} of {place}" for place, records in self.behind.items())
            found.append(f"records have no row in ClickHouse: {places}")
        return found


def rows_of(server: ClickHouse, name: str, **given: str) -> list[dict[str, Any]]:
    """The rows of a named query."""
    query = named_query(name)
    found = server.query(query.sql, query.bind(given))
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


class Watch:
    """Watches one run of the demo."""

    def __init__(self, settings: Settings) -> None:
        self._server = ClickHouse(settings.clickhouse)
        self._landing = Landing(settings.kafka, self._server)

    def look(self, sent: Sent) -> Standing:
        """The progress now. Raises ClickHouseAway."""
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
        unreviewed = tuple(decision for (decision,) in self._rows(_UNREVIEWED, **ids))
        return Standing(stages, working, self._behind(), (decisions, verdicts), unreviewed)

    def until_done(
        self, sent: Sent, timeout: float, told: Callable[[Standing], None]
    ) -> tuple[Standing, bool]:
        """Watches until nothing is missing any more, or `timeout` seconds have passed.

        Raises ClickHouseAway if ClickHouse is unreachable at the end.
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
            stable = stable + 1 if now == before and not now.missing(sent) else 0
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
            for stage, spec in stages().items()
            if spec.accounted and any(row["stage"] == stage for row in rows)
        )

    def _rows(self, sql: str, **parameters: object) -> list[Any]:
        return list(self._server.query(sql, parameters).result_rows)

    def _behind(self) -> dict[str, int] | None:
        try:
            return self._landing.without_row()
        except (KafkaException, BrokerAway):
            return None
