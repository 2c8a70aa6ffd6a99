"""The named queries and `opoi sql` on the real engine, with rows in the tables."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.records import CaseArm, CaseTry
from schemas.stages import stages
from sinks import migrate
from sinks.clickhouse import ClickHouse
from sinks.named_queries import named_queries, named_query
from sinks.settings import ClickHouseSettings
from sinks.tables import DEAD_LETTERS, tables
from streams.cli.main import app
from tests.engine.front_process import Front
from tests.samples import TOPIC_ID, sample_row

DATABASE = "queries"
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(minutes=10)

# what happened to two decisions: (topic, offset, changes of the sample)
STORY: list[tuple[str, int, dict[str, Any]]] = [
    ("agent.decisions", 0, {"decision_id": "d1"}),
    ("agent.decisions", 1, {"decision_id": "d2"}),
    ("agent.decisions", 2, {"decision_id": "d1"}),
    ("agent.decisions", 3, {"decision_id": "d3"}),
    ("expert.verdicts", 0, {"decision_id": "d1", "verdict_id": "v1", "revision": 1, "kind": "approve"}),
    ("expert.verdicts", 1, {"decision_id": "d1", "verdict_id": "v1", "revision": 2, "kind": "correct"}),
    ("opoi.reviews", 0, {"decision_id": "d1", "status": "joined"}),
    ("opoi.replay-requests", 0, {"decision_id": "d1", "replay_id": "r1", "arm": "opoi"}),
    ("opoi.traces", 0, {"decision_id": "d1", "replay_id": "r1", "arm": "opoi", "status": "completed"}),
    ("opoi.traces", 1, {"decision_id": "d1", "replay_id": "r1", "arm": "opoi", "status": "failed"}),
    (
        "opoi.cases",
        0,
        {
            "decision_id": "d1",
            "status": "complete",
            "control_sample": True,
            "closed_at": LONG_AGO,
            "arms": (
                CaseArm(
                    arm="opoi",
                    stop_reason="opoi_hit",
                    tries=(
                        CaseTry(
                            replay_id="r1", strength=1, sample=0, status="completed", hit=True, followed=True
                        ),
                        CaseTry(replay_id="r2", strength=1, sample=1, status="completed"),
                        CaseTry(replay_id="r3", strength=1, sample=2, status="completed", hit=True, misses=1),
                        CaseTry(replay_id="r4", strength=1, sample=3, status="failed"),
                    ),
                ),
                CaseArm(
                    arm="wrong_oracle",
                    stop_reason="opoi_hit",
                    tries=(CaseTry(replay_id="r5", strength=1, sample=0, status=None),),
                ),
            ),
        },
    ),
    (
        "opoi.training-examples",
        0,
        {
            "decision_id": "d1",
            "verdict_id": "v1",
            "revision": 2,
            "arm": "opoi",
            "state": "live",
            "source": "hinted",
            "split": "train",
        },
    ),
    (
        "opoi.rejections",
        0,
        {"decision_id": "d2", "stage": "join", "gate": "id", "reason_code": "id_conflict"},
    ),
    (
        "opoi.rejections",
        1,
        {
            "decision_id": "d2",
            "verdict_id": "v1",
            "revision": 1,
            "stage": "join",
            "gate": "late",
            "reason_code": "too_late",
        },
    ),
]
DISPOSITIONS = [
    ("join", "agent.decisions", 0, "pending"),
    ("join", "agent.decisions", 0, "emitted"),
    ("join", "agent.decisions", 1, "pending"),
    ("join", "agent.decisions", 2, "duplicate"),
    ("join", "agent.decisions", 5, "dead"),
    ("join", "expert.verdicts", 0, "superseded"),
    ("join", "expert.verdicts", 1, "emitted"),
]


@pytest.fixture(scope="module")
def store(front: Front) -> Iterator[ClickHouse]:
    """A database with a story in it, each row landed twice."""
    settings = ClickHouseSettings(url=front.url, database=DATABASE)
    migrate.up(settings)
    connected = ClickHouse(settings)
    for topic, offset, changes in STORY:
        land(connected, topic, offset, **changes)
    for number, (stage, topic, offset, outcome) in enumerate(DISPOSITIONS):
        land(
            connected,
            "opoi.dispositions",
            number,
            stage=stage,
            topic=topic,
            partition=3,
            offset=offset,
            outcome=outcome,
        )
    land(connected, DEAD_LETTERS, 0, partition=3, offset=9, failed_at=LONG_AGO)
    land(connected, DEAD_LETTERS, 1, partition=3, offset=9, failed_at=LONG_AGO, replays=1)
    unread = {"stage": "sink", "topic_id": str(TOPIC_ID), "timestamp": LONG_AGO, "failed_at": LONG_AGO}
    land(connected, DEAD_LETTERS, 2, partition=3, offset=5, **unread)
    yield connected
    connected.close()


def land(store: ClickHouse, name: str, at: int, /, **changes: Any) -> None:
    """Lands a sample twice, ten minutes old."""
    table = tables()[name]
    times = {name: LONG_AGO for name in ("rejected_at", "recorded_at") if name in str(table.columns)}
    key = f"agent é/{changes.get('decision_id', 'd1')}".encode()
    rows = [sample_row(table, place={"offset": at, "timestamp": LONG_AGO, "key": key}, **(times | changes))]
    store.insert(table, rows)
    store.insert(table, rows)


def ask(store: ClickHouse, name: str, **given: str) -> list[dict[str, Any]]:
    """The rows of a named query."""
    query = named_query(name)
    found = store.query(query.sql, query.bind(given), readonly=2)
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


@pytest.mark.parametrize("name", named_queries())
def test_a_query_gives_the_columns_that_it_documents(store: ClickHouse, name: str) -> None:
    rows = ask(store, name, **({"decision_id": "d1"} if name == "decision" else {}))
    assert rows, "give STORY above a record that the query finds"
    assert list(rows[0]) == list(named_query(name).columns), (
        f"sinks/queries/{name}.sql: `Columns:` and the SELECT must have the same columns in the same order"
    )


def test_funnel_counts_each_thing_once(store: ClickHouse) -> None:
    names = ("item", "arm", "kind", "verdict")
    counted = {tuple(row[name] for name in names): row["records"] for row in ask(store, "funnel")}
    assert counted == {
        ("decisions", "", "", ""): 3,
        ("verdicts", "", "correct", ""): 1,
        ("reviews", "", "joined", ""): 1,
        ("replay requests", "opoi", "", ""): 1,
        ("traces", "opoi", "completed", ""): 1,
        ("cases", "", "complete", ""): 1,
        ("live training examples", "opoi", "hinted: train", "correct"): 1,
        ("rejections", "arm é", "join: id/id_conflict", ""): 1,
        ("rejections", "arm é", "join: late/too_late", "approve"): 1,
        ("dead letters", "", "join: truncated", ""): 1,
        ("dead letters", "", "sink: truncated", ""): 1,
    }
    assert ask(store, "funnel", agent="nobody") == []


def test_conservation_accounts_for_every_input(store: ClickHouse) -> None:
    rows = {(row["stage"], row["topic"]): row for row in ask(store, "conservation")}
    decisions = rows["join", "agent.decisions"]
    names = ("inputs", "emitted", "duplicate", "dead", "pending", "missing")
    # what the sink could not read is an input of the join all the same
    assert [decisions[name] for name in names] == [5, 1, 1, 1, 1, 1]
    outcomes = list(decisions.values())[3:13]
    assert sum(outcomes) == decisions["inputs"]
    assert decisions["oldest_missing"] == LONG_AGO.replace(
        tzinfo=None, microsecond=LONG_AGO.microsecond // 1000 * 1000
    )
    verdicts = rows["join", "expert.verdicts"]
    assert (verdicts["superseded"], verdicts["emitted"], verdicts["missing"]) == (1, 1, 0)
    assert verdicts["oldest_missing"] is None
    accounted = {name for name, spec in stages().items() if spec.accounted}
    assert accounted >= {stage for stage, _ in rows} >= {"join", "trigger", "replay", "sanitize"}


def test_within_the_grace_nothing_is_missing(store: ClickHouse) -> None:
    rows = ask(store, "conservation", grace_seconds="3600")
    assert sum(row["missing"] for row in rows) == 0
    assert sum(row["in_work"] for row in rows) == sum(row["missing"] for row in ask(store, "conservation"))
    assert ask(store, "missing", grace_seconds="3600") == []


def test_missing_names_the_inputs(store: ClickHouse) -> None:
    rows = ask(store, "missing")
    assert ("join", "agent.decisions", 3, 3) in {
        (row["stage"], row["topic"], row["partition"], row["offset"]) for row in rows
    }
    assert len(rows) == sum(row["missing"] for row in ask(store, "conservation"))


def test_a_decision_is_told_whole(store: ClickHouse) -> None:
    rows = ask(store, "decision", decision_id="d1")
    items = [row["item"] for row in rows]
    assert sorted(items) == [
        "case",
        "dead letter",
        "dead letter",
        "decision",
        "disposition",
        "disposition",
        "disposition",
        "disposition",
        "disposition",
        "replay request",
        "review",
        "trace",
        "training example",
        "verdict",
        "verdict",
    ]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert [row["status"] for row in rows if row["item"] == "trace"] == ["completed: action.name é"]


def test_dead_letters_are_grouped(store: ClickHouse) -> None:
    rows = [
        (row["stage"], row["records"], row["sent_again"], row["example"])
        for row in ask(store, "dead_letters")
    ]
    assert rows == [("join", 1, 1, "agent.decisions[3]@9"), ("sink", 1, 0, "agent.decisions[3]@5")]


def test_rejections_have_their_share(store: ClickHouse) -> None:
    rows = ask(store, "rejections")
    assert [(row["gate"], row["records"], row["share"]) for row in rows] == [("id", 1, 0.5), ("late", 1, 0.5)]


def test_rates_are_those_of_the_runs_that_count(store: ClickHouse) -> None:
    hinted, wrong = ask(store, "control_rates")
    names = ("arm", "strength", "cases", "runs", "hits", "hit_rate", "followed", "missed")
    assert [hinted[name] for name in names] == ["opoi", 1, 1, 2, 1, 0.5, 1, 1]
    # the Wilson interval of 1 in 2
    assert (hinted["hit_rate_low"], hinted["hit_rate_high"]) == (0.0945, 0.9055)
    assert [wrong[name] for name in names] == ["wrong_oracle", 1, 1, 0, 0, None, 0, 0]
    assert ask(store, "control_rates", agent="nobody") == []


def test_pending_is_what_is_not_closed(store: ClickHouse) -> None:
    [row] = ask(store, "pending")
    assert (row["stage"], row["topic"], row["offset"]) == ("join", "agent.decisions", 1)
    assert row["waits_seconds"] >= 600


class TestCommand:
    """`opoi sql`."""

    @pytest.fixture(autouse=True)
    def settings(self, store: ClickHouse, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command's settings."""
        monkeypatch.setenv("OPOI_CLICKHOUSE__URL", front.url)
        monkeypatch.setenv("OPOI_CLICKHOUSE__DATABASE", DATABASE)

    def run(self, *arguments: str) -> Any:
        """The command's result."""
        return CliRunner().invoke(app, ["sql", *arguments])

    def test_json(self) -> None:
        rows = json.loads(self.run("funnel", "--json", "--param", "days=1").stdout)
        assert rows[0] == {
            "step": 1,
            "item": "decisions",
            "arm": "",
            "kind": "",
            "verdict": "",
            "records": 3,
        }

    def test_csv(self) -> None:
        rows = list(csv.DictReader(io.StringIO(self.run("pending", "--csv").stdout)))
        assert [row["offset"] for row in rows] == ["1"]
        assert (
            rows[0]["since"]
            == LONG_AGO.strftime("%Y-%m-%dT%H:%M:%S.") + f"{LONG_AGO.microsecond // 1000:03}Z"
        )

    def test_a_table(self) -> None:
        result = self.run("rejections")
        assert result.stdout.splitlines()[0].split()[:3] == ["stage", "gate", "reason_code"]
        assert result.stderr == "2 rows\n"

    def test_without_rows_the_columns_stand_there(self) -> None:
        result = self.run("decision", "--param", "decision_id=nobody")
        assert result.stdout.split() == list(named_query("decision").columns)

    def test_a_statement_of_ones_own(self) -> None:
        result = self.run("-q", "SELECT {n:UInt8} + 1 AS m", "--param", "n=2", "--json")
        assert json.loads(result.stdout) == [{"m": 3}]

    def test_json_has_no_nan(self) -> None:
        result = self.run("-q", "SELECT nan AS a, -inf AS b, [nan, 1.5] AS c", "--json")
        found = json.loads(result.stdout, parse_constant=lambda _: pytest.fail("no JSON"))
        assert found == [{"a": "nan", "b": "-inf", "c": ["nan", 1.5]}]

    def test_it_only_reads(self) -> None:
        result = self.run("-q", "DROP TABLE alerts_raw")
        assert "readonly mode" in str(result.exception)

    def test_the_list(self) -> None:
        result = self.run("--list")
        assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == list(named_queries())

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "give the name of a query"),
            (["funnel", "-q", "SELECT 1"], "give the name of a query"),
            (["funnel", "--json", "--csv"], "exclude each other"),
            (["funnel", "--param", "days"], "is not NAME=VALUE"),
            (["tunnel"], "there is no query 'tunnel'"),
        ],
    )
    def test_wrong_use_is_said(self, arguments: list[str], says: str) -> None:
        result = self.run(*arguments)
        assert says in str(result.exception)
