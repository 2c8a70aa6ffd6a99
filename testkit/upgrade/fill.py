"""Fills a stack of a release, stops it with data in flight, and says what must come out after an upgrade.

Every way of being in flight is there, each as it comes about: see `fill`.
"""

import json
import signal
import struct
import time
from pathlib import Path
from urllib.request import Request, urlopen

from testkit.upgrade.census import Census, census
from testkit.upgrade.letters import DEAD_LETTERS, Letter, letters
from testkit.upgrade.records import DECISIONS, POISON, VERDICTS, Copies, partition_of
from testkit.upgrade.stack import Place, Stack, as_bytes

LASTING = {
    "OPOI_PIPELINE__HORIZON_DAYS": "3650",
    "OPOI_PIPELINE__VERDICT_WAIT_DAYS": "3650",
    "OPOI_PIPELINE__DECISION_WAIT_HOURS": "87600",
    "OPOI_PIPELINE__CASE_DEADLINE_HOURS": "87600",
}
"""So that what waits still waits when the archive is years old."""
REFUSED = 5
FILLING = {**LASTING, "OPOI_WORKER__BREAKER_RUN": str(REFUSED)}
"""While it is filled, few refused records stop a worker."""
DEATHS = 3
SEED = 7
CASES = "opoi.cases"


def fill(stack: Stack, *, demo: int, each: int) -> Census:
    """Lets `demo` decisions through a running stack, then leaves `each` of every kind in flight.

    No worker runs afterwards. Returns the manifest: what the stack holds then, what is to be sent to it after
    the upgrade, and what must become of it.
    """
    stack.opoi("demo", "-n", str(demo), "--seed", str(SEED), "--timeout", "600")
    filling = _Filling(stack, each)
    for step in (
        filling.replays_that_crash,
        filling.rows_that_are_not_landed,
        filling.a_stage_that_refuses_most,
        filling.decisions_and_verdicts_that_wait,
        filling.a_record_that_kills,
        filling.records_that_are_not_read,
        filling.dead_letters_sent_again,
    ):
        print(step.__name__.replace("_", " "), flush=True)
        step()
    stack.stop("trigger")
    return filling.manifest()


class _Filling:
    def __init__(self, stack: Stack, each: int) -> None:
        self._stack = stack
        self._each = each
        self._copies = Copies(stack)
        self._closing: list[tuple[str, str, int]] = []
        self._dead = letters(stack)
        self._held: list[Place] = []
        self._redriven: list[str] = []

    def replays_that_crash(self) -> None:
        """Cases with some of their runs, runs that were cut short, requests not read; then a pause."""
        stack, names = self._stack, self._names("running")
        begun = stack.end("opoi.traces")
        self._model_waits(1.0)
        stack.send(record for name in names for record in self._copies.pair(name))
        stack.until(lambda: stack.end("opoi.traces") >= begun + 2, "first traces")
        stack.until(lambda: bool(suspected(stack)), "replays in work")
        self._crash("replay")
        stack.stop("replay")
        self._model_waits(0.0)
        stack.opoi("replay", "pause", "--reason", "an upgrade")
        # a newer verdict will call off runs that were asked for; of those that were cut short none
        asked = stack.end("opoi.replay-requests")
        stack.send(self._copies.pair("superseded"))
        stack.until(lambda: stack.end("opoi.replay-requests") > asked, "requests of superseded")
        self._closing.append(("superseded", "correct", 2))

    def rows_that_are_not_landed(self) -> None:
        """Everything from here on is not in ClickHouse."""
        self._stack.stop("sink")
        self._send_and_see("approved", "approve", "opoi.training-examples")
        self._send_and_see("declined", "decline", CASES)

    def a_stage_that_refuses_most(self) -> None:
        """sanitize stops at the last of some records that nothing can be made of; cases wait behind it."""
        stack = self._stack
        put = stack.send([(CASES, "media_buyer/no-case", POISON)] * REFUSED)
        tripped = stack.state("sanitize") / "breaker-tripped"
        stack.until(tripped.is_file, "sanitize stops")
        stack.stop("sanitize")
        self._dead += [Letter(stage, at, "not_framed") for stage in ("sanitize", "sink") for at in put]
        self._held.append(put[-1])
        self._send_and_see("behind", "approve", CASES)

    def decisions_and_verdicts_that_wait(self) -> None:
        """In join's table: the one half of a pair; the other one comes after the upgrade."""
        stack = self._stack
        undecided, unjudged = self._names("undecided"), self._names("unjudged")
        before = stack.end("opoi.dispositions")
        stack.send([self._copies.decision(name) for name in unjudged])
        stack.send([self._copies.verdict(name, "approve") for name in undecided])
        wanted = before + len(unjudged) + len(undecided)
        stack.until(lambda: stack.end("opoi.dispositions") >= wanted, "dispositions of what waits")
        self._closing += [(name, "correct", 1) for name in unjudged]
        self._closing += [(name, "decision", 0) for name in undecided]

    def a_record_that_kills(self) -> None:
        """join dies on a record as often as it may; it is not in the dead letters yet."""
        stack = self._stack
        # the record on which it dies shall not be a tick
        stack.stop("ticker")
        stack.until(lambda: self._all_read("opoi-join"), "join has committed")
        stack.stop("join", "registry")
        [at] = stack.send([self._copies.decision("killer")])
        # one that has just begun waits for the registry, with the record in hand
        stack.start("join")
        before = stack.exits("join").get("sigsegv", 0)
        for death in range(DEATHS):
            # the mark of an earlier life goes before the process begins
            stack.until(
                lambda: bool(stack.child("join")) and _marked(stack.state("join") / "mark") == at,
                f"join works on {at}",
            )
            self._crash("join")
            died = before + death + 1
            stack.until(lambda: stack.exits("join").get("sigsegv") == died, "join's death is counted")  # noqa: B023
        stack.stop("join")
        stack.start("registry")
        stack.until(self._registry_answers, "the registry")
        self._dead.append(Letter("join", at, "killed_the_process"))

    def records_that_are_not_read(self) -> None:
        """Behind join's committed offsets."""
        names = self._names("unread")
        self._stack.send(record for name in names for record in self._copies.pair(name, "approve"))

    def dead_letters_sent_again(self) -> None:
        """The demo's poison, repaired, on the retry topics of both stages that refused it."""
        stack = self._stack
        headers = {}
        for message in stack.read(DEAD_LETTERS):
            letter = Letter.of(message)
            if letter.at.topic == DECISIONS:
                headers[letter.stage] = message.headers()
                partition = letter.at.partition
        # a key of the partition in which the poison stood
        count = stack.topics()[DECISIONS]
        name = next(
            name
            for name in (f"repaired-{number}" for number in range(1000))
            if partition_of(self._copies.decision(name)[1], count) == partition
        )
        _, key, value = self._copies.decision(name)
        for stage in ("join", "sink"):
            stack.send([(f"opoi.retry.{stage}", key, value)], partition=partition, headers=headers[stage])
        self._redriven.append(name)
        self._closing.append((name, "correct", 1))

    def manifest(self) -> Census:
        """What the stack holds now, what is to be sent to it later, and what must become of it."""
        stack = self._stack
        # of one that is answered and not committed the worker learns no more; it stays in the file
        answered = {as_bytes(message.key()).decode() for message in stack.read("opoi.dispositions")}
        suspects = [
            at for at in suspected(stack) if f"replay/{at.topic}/{at.partition}/{at.offset}" not in answered
        ]
        assert suspects, "a run was cut short"
        assert list((stack.home / "state" / "join" / ".deaths").glob("*.json")), "deaths are written down"
        return {
            "packed_at": round(time.time()),
            **census(stack),
            "suspects": suspects,
            "closing": self._closing,
            "dead": self._dead,
            "held": self._held,
            "redriven": self._redriven,
        }

    def _names(self, kind: str) -> list[str]:
        return [f"{kind}-{number}" for number in range(self._each)]

    def _send_and_see(self, kind: str, verdict: str, topic: str) -> None:
        """Sends pairs and waits until each led to a record on `topic`."""
        stack, names = self._stack, self._names(kind)
        wanted = stack.end(topic) + len(names)
        stack.send(record for name in names for record in self._copies.pair(name, verdict))
        stack.until(lambda: stack.end(topic) >= wanted, f"{kind} on {topic}")

    def _model_waits(self, seconds: float) -> None:
        url = f"{self._stack.variable('OPOI_MODEL__BASE_URL')}/local/faults"
        urlopen(Request(url, json.dumps({"latencySeconds": seconds}).encode()), timeout=10).close()

    def _crash(self, name: str) -> None:
        child = self._stack.child(name)
        assert child is not None, f"{name} does not run"
        child.send_signal(signal.SIGSEGV)

    def _all_read(self, group: str) -> bool:
        committed = self._stack.committed()[group]
        return all(
            committed.get(topic, {}).get(str(partition), 0) == end
            for topic in (DECISIONS, VERDICTS, "opoi.ticks.join")
            for partition, (_, end) in self._stack.bounds(topic).items()
        )

    def _registry_answers(self) -> bool:
        try:
            return bool(self._stack.registry("/subjects"))
        except OSError:
            return False


def suspected(stack: Stack) -> list[Place]:
    """Replay requests that were in work when the worker crashed, or are now."""
    found = json.loads((stack.state("replay") / "in-work.json").read_text())
    # a release after 0.2 writes ranges of offsets: topic, partition, first, last
    return [
        Place(topic, partition, offset)
        for topic, partition, first, *last in [*found["suspects"], *found["in_work"]]
        for offset in range(first, (last[0] if last else first) + 1)
    ]


def _marked(mark: Path) -> Place | None:
    """The record that a worker has in hand."""
    content = mark.read_bytes() if mark.is_file() else b""
    if not content or content[0] != 1:
        return None
    partition, offset, length = struct.unpack_from("<qqH", content, 1)
    return Place(content[19 : 19 + length].decode(), partition, offset)
