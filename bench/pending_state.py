"""The join with many pending decisions: rate, memory, size of its state, and how long it takes to be back.

`python -m bench.pending_state [--decisions 100000] [--bytes 20000]`, on a stack of its own. Decisions come
without verdicts, so all of them stay in the join's table. Back is when a verdict that was fed after the
start has been answered.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil

from schemas.identity import decision_key
from schemas.record import Record
from schemas.records import AgentDecision, Part, Turn
from schemas.registry import make_codec
from streams.health.backlog import backlog
from streams.runtime.kafka_clients import CheckedProducer
from testkit.builders import decision, verdict
from testkit.running_stack import RunningStack, running_stack

DECISIONS, VERDICTS = "agent.decisions", "expert.verdicts"
TEXTS = 500
"""Different texts; the broker and the table compress, and one text for all would be too kind."""
GIVE_UP_SECONDS = 1800


class Bench:
    """The join on a running stack."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._kafka = stack.settings.kafka
        self._codec = make_codec(stack.settings)
        self._producer = CheckedProducer(self._kafka)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        """The folder with the join's table."""
        return self._stack.home.folder / "state" / "join"

    def feed(self, topic: str, records: Iterator[Record]) -> None:
        """Sends records and waits for the broker."""
        for record in records:
            key = decision_key(record.agent, record.decision_id)  # type: ignore[attr-defined]
            self._producer.send(topic, key, self._codec.encode(topic, record))
        self._producer.flush(300)

    @contextmanager
    def worker(self, number: int = signal.SIGTERM) -> Iterator[psutil.Process]:
        """The join while the block runs, ended by signal `number`."""
        log = self._stack.home.folder / "join.log"
        command = [sys.executable, "-P", "-m", "streams.cli.main", "worker", "join"]
        with log.open("ab") as out:
            process = subprocess.Popen(command, env=self._stack.env, stdout=out, stderr=out)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(number)
            process.wait(60)

    def waiting(self) -> int:
        """Decisions and verdicts that the join has not done."""
        return sum(backlog(self._kafka, "join", (DECISIONS, VERDICTS)).waiting.values())

    def until_done(self) -> float:
        """Waits for an empty backlog; seconds it took."""
        begun = time.monotonic()
        while self.waiting():
            if time.monotonic() - begun > GIVE_UP_SECONDS:
                raise SystemExit(f"{self.waiting()} records still wait after {GIVE_UP_SECONDS} s")
            time.sleep(1)
        return time.monotonic() - begun

    def seconds_to_be_back(self, decision_id: str) -> float:
        """From the start of a worker to the answer to a verdict on `decision_id`."""
        self.feed(VERDICTS, iter([verdict(decision_id, verdict_id=uuid4().hex)]))
        begun = time.monotonic()
        with self.worker():
            self.until_done()
            return time.monotonic() - begun


def decisions(count: int, size: int) -> Iterator[AgentDecision]:
    """`count` decisions of about `size` bytes each."""
    texts = ["".join(random.Random(each).choices("abcdefghij klmnop ", k=size)) for each in range(TEXTS)]
    for number in range(count):
        said = Turn(role="user", parts=(Part(kind="text", text=texts[number % TEXTS]),))
        yield decision(f"pending-{number}", turns=(said,), decided_at=datetime.now(UTC))


def size_of(folder: Path) -> float:
    """MB of the files below `folder`."""
    return sum(os.stat(each).st_blocks * 512 for each in folder.rglob("*") if each.is_file()) / 1e6


def memory_of(process: psutil.Process) -> float:
    """MB that a process and its children hold."""
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=20_000)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="opoi-bench-") as folder,
        running_stack(Path(folder)) as stack,
    ):
        bench = Bench(stack)
        bench.feed(DECISIONS, decisions(1, given.bytes))
        with bench.worker() as process:
            bench.until_done()
            at_rest = memory_of(process)
            fed = time.monotonic()
            bench.feed(DECISIONS, decisions(given.decisions, given.bytes))
            bench.until_done()
            rate = given.decisions / (time.monotonic() - fed)
            memory = memory_of(process)
        kept = bench.seconds_to_be_back("pending-0")
        state = size_of(bench.state)
        changelog = sum(
            size_of(each) for each in stack.home.part("kafka").rglob("opoi-join-state-changelog-*")
        )
        shutil.rmtree(bench.state)
        wiped = bench.seconds_to_be_back("pending-1")
    print("| figure | value |")
    print("|---|---|")
    print(f"| pending decisions | {given.decisions} of {given.bytes / 1000:g} kB |")
    print(f"| decisions joined a second, fed meanwhile | {rate:.0f} |")
    print(f"| memory of the worker, one pending → all, MB | {at_rest:.0f} → {memory:.0f} |")
    print(f"| state on disk, MB | {state:.0f} |")
    print(f"| changelog in Kafka, MB | {changelog:.0f} |")
    print(f"| start to first answer, state kept, s | {kept:.1f} |")
    print(f"| start to first answer, state wiped, s | {wiped:.1f} |")


if __name__ == "__main__":
    main()
