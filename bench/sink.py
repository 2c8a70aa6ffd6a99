"""Rows a second of the sink, beside the naive way and the engine alone, on small and on wide records.

`python -m bench.sink [--small 150000] [--wide 6000] [--runs 3] [--json]`, on a stack of its own; short:
`--small 40000 --wide 4000 --runs 1`. All three ways fill the same table over HTTP, one after the other:

- sink: `opoi worker sink` on a backlog in the broker, from its first commit to nine tenths of the backlog
  (the last batch would only wait for more)
- naive: each message decoded with Apache's avro package, rows inserted by clickhouse-connect, 1,000 at a time
- engine: the same rows prebuilt in ClickHouse's Native format, inserted in blocks as large as the sink's

Processor time a row is steadier than rows a second where the machine has other work. `--json` prints one line
of figures; to compare two checkouts, run both in turns. Exit code 3 where the sink is slower than the naive
way.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import TopicPartition

from bench.sink_ways import Bed, Run, blocks, by_engine, by_naive, by_sink
from schemas.examples import examples
from schemas.record import Record
from streams.cli.output import table
from testkit.running_stack import RunningStack, running_stack

SMALL, WIDE = "opoi.dispositions", "opoi.traces"
WIDE_BYTES = 28_000
WAYS = ("sink", "naive", "engine")


@dataclass(slots=True)
class Measured:
    """One kind of record: rows a second of each run by way, and processor time of the sink's runs."""

    count: int
    bytes: int = 0
    runs: dict[str, list[Run]] = field(default_factory=lambda: {way: [] for way in WAYS})

    def rates(self, way: str) -> list[float]:
        """Rows a second of each run."""
        return [run.rate for run in self.runs[way]]

    def ratio(self, way: str) -> float:
        """The sink's speed beside another way's: the median of what runs in turn gave."""
        pairs = zip(self.rates("sink"), self.rates(way), strict=True)
        return statistics.median(sink / other for sink, other in pairs)

    @property
    def worker_us(self) -> float:
        """Processor time of the sink, microseconds a row."""
        return statistics.median(run.worker_us for run in self.runs["sink"])

    @property
    def clickhouse_us(self) -> float:
        """Processor time of ClickHouse while the sink ran, microseconds a row."""
        return statistics.median(run.clickhouse_us for run in self.runs["sink"])

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "rows": self.count,
            "bytes": self.bytes,
            "rows_per_second": {way: round(statistics.median(self.rates(way))) for way in WAYS},
            "sink_beside_naive": round(self.ratio("naive"), 3),
            "sink_beside_engine": round(self.ratio("engine"), 3),
            "worker_us_a_row": round(self.worker_us, 1),
            "clickhouse_us_a_row": round(self.clickhouse_us, 1),
            "runs": {way: [round(rate) for rate in self.rates(way)] for way in WAYS},
        }


def small(number: int) -> Record:
    """A disposition of about 300 bytes."""
    name = f"20260512-100038643514061020-e7a653d5/{UUID(int=number)}/1"
    causes = [
        {"topic": topic, "partition": number % 8, "offset": number, "id": name}
        for topic in ("agent.decisions", "expert.verdicts")
    ]
    changes = {"offset": number, "id": name, "reason": "awaiting_traces", "caused_by": causes}
    return type(of := examples(SMALL)[0]).model_validate(of.model_dump() | changes)


def wide(number: int) -> Record:
    """A trace of about 28 KB: reports of an ads platform that a tool answered."""
    dice = random.Random(number % 64)
    of = examples(WIDE)[0].model_dump()
    turns = list(of["turns"])
    answered = next(
        turn for turn in turns if any(part["kind"] == "function_response" for part in turn["parts"])
    )
    answer = next(part for part in answered["parts"] if part["kind"] == "function_response")
    size = 0
    while size < WIDE_BYTES:
        days = [
            {
                "date_start": f"2026-05-{day:02}",
                "spend": f"{dice.uniform(10, 900):.2f}",
                "impressions": str(dice.randrange(1_000, 90_000)),
                "actions": [{"action_type": "purchase", "value": str(dice.randrange(40))}],
            }
            for day in range(1, 29)
        ]
        text = json.dumps({"data": days})
        size += len(text)
        turns.append({**answered, "parts": [{**answer, "response_json": text}]})
    changes = {"replay_id": f"replay-{number}", "decision_id": f"decision-{number}", "turns": turns}
    return type(examples(WIDE)[0]).model_validate(of | changes)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record: its topic, what makes one of a number, how many the engine is given at once."""

    topic: str
    make: Callable[[int], Record]
    block: int


KINDS = {"small": Kind(SMALL, small, 10_000), "wide": Kind(WIDE, wide, 1_000)}


def measure(stack: RunningStack, folder: Path, kind: str, count: int, runs: int) -> Measured:
    """All ways in turn, `runs` times."""
    of = KINDS[kind]
    bed = Bed(stack, of.topic, count)
    found = Measured(count, bed.feed(of.make))
    prebuilt: list[bytes] = []
    for _ in range(runs):
        found.runs["sink"].append(by_sink(bed, folder))
        prebuilt = prebuilt or blocks(bed, of.block)
        found.runs["naive"].append(by_naive(bed))
        found.runs["engine"].append(by_engine(bed, prebuilt))
    bed.empty()
    ends = [TopicPartition(one.topic, one.partition, -1) for one in bed.places]
    for future in bed.admin.delete_records(ends).values():
        future.result()
    return found


def rows_of(kind: str, found: Measured) -> Iterator[tuple[str, ...]]:
    """Lines of the table."""
    for way in WAYS:
        rates = found.rates(way)
        spread = f"{min(rates):.0f}-{max(rates):.0f}"
        yield (
            *(kind, str(found.bytes), way, f"{statistics.median(rates):.0f}", spread),
            *(("", f"{found.worker_us:.0f}", f"{found.clickhouse_us:.0f}") if way == "sink" else ()),
            *((f"{found.ratio(way):.2f}x", "", "") if way != "sink" else ()),
        )


def main() -> None:
    """Prints the table, with `--json` the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", type=int, default=150_000, help="small records; 0: none")
    parser.add_argument("--wide", type=int, default=6_000, help="wide records; 0: none")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line of figures for machines")
    given = parser.parse_args()
    counts = {kind: count for kind in KINDS if (count := getattr(given, kind))}
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="opoi-bench-") as name,
        running_stack(Path(name) / "home") as stack,
    ):
        found = {kind: measure(stack, Path(name), kind, count, given.runs) for kind, count in counts.items()}
    if given.json:
        figures = {kind: one.as_dict() for kind, one in found.items()}
        print(json.dumps({"load": round(load, 1), **figures}))
    else:
        head = (
            "records",
            "bytes",
            "way",
            "rows/s",
            "of all runs",
            "sink beside it",
            "worker us/row",
            "engine us/row",
        )
        print(table(head, [row for kind, one in found.items() for row in rows_of(kind, one)]))
    raise SystemExit(3 if any(one.ratio("naive") < 1 for one in found.values()) else 0)


if __name__ == "__main__":
    main()
