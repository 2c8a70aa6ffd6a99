"""The sink as processes, on a real broker, a real registry and the real engine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from schemas.deploy import apply_schemas, apply_topics
from schemas.examples import examples
from schemas.identity import decision_key
from schemas.record import Record
from sinks import migrate
from sinks.clickhouse import ClickHouse
from sinks.dead_letters import parse_dead_letter
from sinks.named_queries import named_query
from sinks.settings import ClickHouseSettings
from sinks.tables import DEAD_LETTERS, tables
from streams.runtime.exit_codes import ExitCode
from streams.runtime.kafka_clients import CheckedProducer
from testkit import builders
from testkit.oversize import oversize_records, send_oversize
from testkit.running_stack import RunningStack
from tests.broker.wire import Wire, own_wire

ROOT = Path(__file__).parents[2]
RECORD_TOPICS = [name for name, table in tables().items() if table.topic.record]
# fields of identities that may hold any text
FREE = ("decision_id", "verdict_id", "replay_id", "artifact_id", "export_id", "job_id", "reference_id")
FREE += ("eval_set_id", "eval_item_id", "fingerprint", "stage")


@dataclass
class Pipe:
    """Topics, tables and workers of one test's own."""

    wire: Wire
    settings: ClickHouseSettings
    env: dict[str, str]
    log: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.producer = CheckedProducer(self.wire.kafka)
        self.codec = self.wire.codec()
        self.store = ClickHouse(self.settings)

    def work(self, name: str) -> None:
        """Starts a worker."""
        env = {**self.env, "OPOI_WORKER__NAME": name}
        with self.log.open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "streams.cli.main", "worker", "sink"],
                env=env,
                stdout=log,
                stderr=log,
            )

    def end(self, name: str, number: signal.Signals) -> int:
        """Sends a worker a signal; its exit code."""
        worker = self.workers.pop(name)
        worker.send_signal(number)
        return worker.wait(60)

    def send(self, topic: str, record: Record, *, spoiled: bool = False) -> None:
        """Sends a record, or its bytes without the last one."""
        value = self.codec.encode(topic, record)
        self.producer.send(topic, f"k{self.sent[topic]}", value[:-1] if spoiled else value)
        self.sent[topic] += 1

    def counts(self, distinct: str) -> dict[str, int]:
        """Rows of each landing table, by topic."""
        return {
            name: self.store.query(f"SELECT {distinct} FROM {table.name}").result_rows[0][0]
            for name, table in tables().items()
        }

    def revive(self) -> None:
        """The supervisor's part: a worker that ended because its client hung is started again."""
        for name, worker in list(self.workers.items()):
            if (code := worker.poll()) is not None:
                assert code == ExitCode.WATCHDOG, self.said()
                self.work(name)

    def said(self) -> str:
        """The end of the workers' log."""
        return "\n".join(self.log.read_text().splitlines()[-20:])


@pytest.fixture
def pipe(stack: RunningStack, tmp_path: Path) -> Iterator[Pipe]:
    """Everything deployed, no worker yet."""
    wire = own_wire(stack.settings)
    apply_topics(wire, lambda line: None)
    apply_schemas(wire, lambda line: None)
    database = wire.kafka.physical("x").partition(".")[0].replace("-", "_")
    settings = stack.settings.clickhouse.model_copy(update={"database": f"sink_{tmp_path.name}{database}"})
    settings = ClickHouseSettings(
        **{**settings.model_dump(), "database": settings.database.replace("-", "_")}
    )
    migrate.up(settings)
    env = {
        **os.environ,
        "OPOI_HOME": str(tmp_path),
        "OPOI_KAFKA__BOOTSTRAP_SERVERS": wire.kafka.bootstrap_servers,
        "OPOI_KAFKA__TOPIC_NAMES": json.dumps(wire.kafka.topic_names),
        "OPOI_REGISTRY__URL": wire.registry.url,
        "OPOI_CLICKHOUSE__URL": settings.url,
        "OPOI_CLICKHOUSE__DATABASE": settings.database,
        "OPOI_CLICKHOUSE__BATCH_SECONDS": "0.2",
    }
    made = Pipe(wire, settings, env, tmp_path / "sink.log")
    yield made
    for name in list(made.workers):
        made.end(name, signal.SIGKILL)
    made.store.close()


def until(seconds: float, wanted: Callable[[], bool], pipe: Pipe) -> None:
    """Waits until `wanted` holds."""
    give_up = time.monotonic() + seconds
    while not wanted():
        pipe.revive()
        if time.monotonic() > give_up:
            pytest.fail(f"not so after {seconds} s; the workers said:\n{pipe.said()}")
        time.sleep(0.2)


def another(topic: str, number: int) -> Record:
    """An example with an identity of its own."""
    record = examples(topic)[0]
    name = next(name for name in tables()[topic].identity if name in FREE)
    return record.model_copy(update={name: f"{getattr(record, name)}-{number}"})


def test_every_example_is_landed_and_what_is_spoiled_is_landed_as_a_dead_letter(pipe: Pipe) -> None:
    for topic in RECORD_TOPICS:
        for record in examples(topic):
            pipe.send(topic, record)
    pipe.send("expert.verdicts", examples("expert.verdicts")[0], spoiled=True)
    pipe.producer.flush()
    wanted = {**pipe.sent, DEAD_LETTERS: 1, "expert.verdicts": pipe.sent["expert.verdicts"] - 1}
    pipe.work("1")
    until(180, lambda: pipe.counts("count()") == wanted, pipe)
    row = "SELECT stage, topic, error_type, value, headers FROM dead_letters"
    [(stage, topic, error_type, value, headers)] = pipe.store.query(row).result_rows
    assert (stage, topic, error_type) == ("sink", "expert.verdicts", "truncated")
    assert parse_dead_letter([(name, text.encode()) for name, text in headers.items()]).replays == 0
    assert value
    began = time.monotonic()
    assert pipe.end("1", signal.SIGTERM) == 0
    assert time.monotonic() - began < 30


@pytest.mark.timeout(600)
def test_what_no_letter_holds_whole_is_landed_as_its_head(pipe: Pipe) -> None:
    topic = "agent.decisions"

    def valid(name: str, text: str) -> tuple[bytes, bytes]:
        made = builders.decision(name, rationale=text)
        return decision_key(made.agent, name).encode(), pipe.codec.encode(topic, made)

    records = list(oversize_records(valid))
    bad = [record for record in records if record.says == "not_framed: "]
    for record in records:
        kafka = pipe.wire.kafka
        send_oversize(kafka.bootstrap_servers, kafka.physical(topic), record)
    pipe.send(topic, builders.decision("good"))
    pipe.producer.flush()
    pipe.work("1")
    until(300, lambda: pipe.counts("count()")[topic] == len(records) - len(bad) + 1, pipe)
    until(300, lambda: pipe.counts("count()")[DEAD_LETTERS] == len(bad), pipe)
    assert pipe.end("1", signal.SIGTERM) == 0

    columns = "value_bytes, value_sha256, dropped_headers > 0, key_bytes, length(value), error"
    rows = pipe.store.query(f"SELECT {columns} FROM dead_letters WHERE is_cut").result_rows
    one_byte, *_ = bad
    reason = "not_framed: the value starts with 78"
    assert [row[:4] for row in rows if row[0] is not None] == [
        (len(one_byte.value), sha256(one_byte.value).hexdigest(), None, None)
    ]
    assert [row[:5] for row in rows if row[0] is None] == [(None, None, True, None, 1)]
    assert all(row[5].startswith(reason) for row in rows)
    shown = pipe.store.query(named_query("dead_letters").sql, {"days": 30})
    counts = {row[2]: row[3:6] for row in shown.result_rows}
    # librdkafka gives none of more than 100,000 headers, and says no word of it
    assert counts == {"too_large": (2, 0, 2), "not_framed": (1, 0, 0)}


def test_a_dead_letter_sent_again_takes_its_first_place(pipe: Pipe) -> None:
    """As after a repair: the same headers, a body that can be read."""
    topic = "expert.verdicts"
    pipe.send(topic, another(topic, 1))
    pipe.send(topic, examples(topic)[0], spoiled=True)
    pipe.producer.flush()
    pipe.work("1")
    until(180, lambda: pipe.counts("count()")[DEAD_LETTERS] == 1, pipe)
    place = "SELECT partition, offset, headers FROM dead_letters"
    [(partition, offset, headers)] = pipe.store.query(place).result_rows
    value = pipe.codec.encode(topic, examples(topic)[0])
    for _ in range(2):
        again = [(name, text.encode()) for name, text in headers.items()]
        pipe.producer.send("opoi.retry.sink", "k", value, headers=again)
    pipe.producer.flush()
    query = "SELECT _partition, _offset, toString(_topic_id) FROM expert_verdicts"
    until(180, lambda: len(pipe.store.query(query).result_rows) == 2, pipe)
    rows = pipe.store.query(query).result_rows
    assert (partition, offset) in {(row[0], row[1]) for row in rows}
    assert len({topic_id for _, _, topic_id in rows}) == 1


def example(name: str) -> Callable[..., None]:
    """A function of docs/operations.md."""
    found: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL):
        exec(compile(code, "docs/operations.md", "exec"), found)
    made: Callable[..., None] = found[name]
    return made


def test_a_dead_letter_is_sent_again_as_the_docs_say(pipe: Pipe) -> None:
    """ClickHouse refuses a row, then no longer."""
    topic, kafka = "expert.verdicts", pipe.wire.kafka
    pipe.store.command("ALTER TABLE expert_verdicts_raw ADD CONSTRAINT none CHECK expert = ''")
    pipe.send(topic, another(topic, 1))
    pipe.producer.flush()
    pipe.work("1")
    letter = (
        "SELECT _partition, _offset FROM dead_letters "
        "WHERE stage = 'sink' AND error_type = 'refused_by_clickhouse' AND NOT is_cut"
    )
    until(180, lambda: len(pipe.store.query(letter).result_rows) == 1, pipe)
    pipe.store.command("ALTER TABLE expert_verdicts_raw DROP CONSTRAINT none")
    places = pipe.store.query(letter).result_rows
    example("send_again")(places, servers=kafka.bootstrap_servers, names=kafka.topic_names)
    landed = "SELECT _topic, _partition, _offset FROM expert_verdicts"
    until(60, lambda: len(pipe.store.query(landed).result_rows) == 1, pipe)
    first = "SELECT topic, partition, offset FROM dead_letters"
    assert pipe.store.query(landed).result_rows == pipe.store.query(first).result_rows


def test_a_topic_is_read_again_as_the_docs_say(pipe: Pipe) -> None:
    topic, kafka = "expert.verdicts", pipe.wire.kafka
    for number in range(3):
        pipe.send(topic, another(topic, number))
    pipe.producer.flush()
    pipe.work("1")
    until(180, lambda: pipe.counts("count()")[topic] == 3, pipe)
    assert pipe.end("1", signal.SIGTERM) == 0
    pipe.store.command("TRUNCATE TABLE expert_verdicts_raw")
    example("read_again")(kafka.physical(topic), servers=kafka.bootstrap_servers)
    pipe.work("1")
    until(180, lambda: pipe.counts("count()")[topic] == 3, pipe)


@pytest.mark.faults
@pytest.mark.timeout(700)
def test_workers_that_are_killed_lose_nothing_and_double_nothing(pipe: Pipe) -> None:
    """Two workers, killed and stopped in turn while records come in."""
    for name in ("1", "2"):
        pipe.work(name)
    turns: list[tuple[str, signal.Signals]] = [
        ("1", signal.SIGKILL),
        ("2", signal.SIGTERM),
        ("2", signal.SIGKILL),
        ("1", signal.SIGTERM),
    ]
    number = 0
    spoiled: Counter[str] = Counter()
    for name, how in turns:
        give_up = time.monotonic() + 6
        while time.monotonic() < give_up:
            for topic in RECORD_TOPICS:
                number += 1
                bad = number % 97 == 0
                spoiled[topic] += bad
                pipe.send(topic, another(topic, number), spoiled=bad)
            time.sleep(0.01)
        pipe.end(name, how)
        pipe.work(name)
    pipe.producer.flush()
    coordinates = "uniqExact(_topic_id, _partition, _offset)"
    good = {topic: pipe.sent[topic] - spoiled[topic] for topic in RECORD_TOPICS}

    def landed() -> bool:
        found: dict[str, Any] = pipe.counts(coordinates)
        found.pop(DEAD_LETTERS)
        return found == good

    until(300, landed, pipe)
    until(
        180,
        lambda: pipe.store.query("SELECT count() FROM dead_letters").result_rows == [(spoiled.total(),)],
        pipe,
    )
    # each record has an identity of its own, so a view with more or fewer rows has doubled or lost one
    for topic in RECORD_TOPICS:
        view = tables()[topic].view
        seen = pipe.store.query(f"SELECT count() FROM {view}").result_rows[0][0]
        withdrawn = topic == "opoi.training-examples" and getattr(examples(topic)[0], "state", "") != "live"
        assert seen == (0 if withdrawn else good[topic]), view
    for name in ("1", "2"):
        # after all that librdkafka may hang in leaving the group: then the worker ends by itself
        assert pipe.end(name, signal.SIGTERM) in (0, ExitCode.WATCHDOG), pipe.said()
