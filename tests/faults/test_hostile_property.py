"""Hostile records of every kind among good ones, through every stage that reads them, on a whole stack.

None holds up what comes behind it, none vanishes, and no worker ends of it. The dead-letter limit, which
stops a stage on a bad deploy, is tested apart: tests/faults/test_poison.py, and the units of sink and replay.
"""

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from agent.media_buyer.definition import artifacts, media_buyer
from local_stack.supervise import Supervisor, tail
from schemas.catalog import topic as topic_spec
from schemas.identity import decision_key
from schemas.registry import ConfluentRegistry, make_codec
from schemas.stages import DEAD_LETTERS, RETRY, retry_of, stages
from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.runtime.kafka_clients import CheckedProducer
from testkit import builders
from testkit.hostile import HOSTILE, NO_VALUE, Hostile
from testkit.raw_batches import batch, produce
from testkit.running_stack import MAY_END, RunningStack, running_stack, worker_ends
from testkit.topic_records import Topic

pytestmark = [pytest.mark.faults, pytest.mark.stack, pytest.mark.timeout(7200)]

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
RECORDS = max(200 if IS_LONG else 30, len(HOSTILE))
"""Hostile ones that each stage is sent, each kind at least once."""
AT_ONCE = 20
"""Of each stage's hostile records, until all are done."""
SEED = 20261130
SECONDS = 60.0
"""Within so many the next good record is processed."""
PATIENCE_SECONDS = 100.0
"""What stood still for so long stands for good."""
NO_KEY = 87
"""The broker's error for a record without a key in a compacted topic."""
SINK = "sink"
ACCOUNTED = [name for name, spec in stages().items() if spec.sources and spec.accounted]
LOOKED_UP = sorted({name for spec in stages().values() for name in spec.looks_up})
UNREADABLE = [kind for kind in HOSTILE if kind.name in ("a wrong checksum within lz4", "a length that lies")]

Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass
class Fed:
    """One record that was sent; `kind` None: a good one. `first`: where it says that it stood at first."""

    place: Place
    kind: Hostile | None
    sent: float
    first: Place
    finished: dict[str, float] = field(default_factory=dict)
    """When each stage was done with it, Unix seconds of the broker or of ClickHouse."""

    def __str__(self) -> str:
        return f"{self.kind.name if self.kind else 'a good record'} at {self.place}"

    @property
    def readers(self) -> list[str]:
        """Stages that have to do something with it."""
        topic = self.place[0]
        is_deletion = topic_spec(topic).cleanup == "compact" and self.kind and self.kind.name == NO_VALUE
        found = [name for name, spec in stages().items() if topic in spec.inputs]
        return [name for name in found if not (is_deletion and name == SINK)]


class Scene:
    """The stack, what it was sent, and what became of that."""

    def __init__(self, running: RunningStack) -> None:
        self.home, self.settings = running.home, running.settings
        self.codec = make_codec(self.settings)
        self.registry = ConfluentRegistry(self.settings.registry)
        self.store = ClickHouse(self.settings.clickhouse)
        self.supervisor = Supervisor(running.home)
        self.begun = time.time()
        self.pids = self.workers()
        self.fed: list[Fed] = []
        self.dispositions: dict[tuple[str, Place], set[tuple[str, str]]] = {}
        self.letters: dict[tuple[str, Place], list[str]] = {}
        self.landed: set[Place] = set()
        self.times: dict[tuple[str, Place], float] = {}

    def partitions(self, topic: str) -> int:
        found = topic_spec(topic).partitions or self.settings.kafka.partitions
        assert found is not None
        return found

    def workers(self) -> dict[str, int | None]:
        """Process ids of the workers."""
        return {one.name: one.pid for one in self.supervisor.states() if one.name in stages()}

    def topic(self, name: str, chooser: random.Random) -> Topic:
        count = self.partitions(name)
        return Topic(name, self.codec, self.registry, chooser.randrange(count), count)

    def send(self, topic: Topic, kind: Hostile | None) -> None:
        """Sends a record of this kind, or a good one."""
        before = topic.stood_at
        content = kind.make(topic) if kind else batch([topic.good()])
        kafka = self.settings.kafka
        code, offset = produce(kafka.bootstrap_servers, kafka.physical(topic.name), topic.partition, content)
        if code == NO_KEY and topic_spec(topic.name).cleanup == "compact":
            return
        assert code == 0, f"the broker refused {kind and kind.name} on {topic.name}: {code}"
        place = topic.name, topic.partition, offset
        # a batch that is made by hand has no record that says where it stood at first
        says_it = topic.name.startswith(RETRY) and topic.stood_at != before
        first = topic.stood_at if says_it else place
        self.fed.append(Fed(place, kind, time.time(), first))

    # what became of it

    def look(self) -> None:
        """What stages wrote by now, and when, as ClickHouse has it: topics hold hostile records, too."""
        self.dispositions, self.letters = defaultdict(set), defaultdict(list)
        at_all = "stage, topic, partition, offset, toFloat64(_timestamp)"
        sql = f"SELECT {at_all}, outcome, reason FROM dispositions_raw"
        for stage, topic, partition, offset, seconds, outcome, reason in self.store.query(sql).result_rows:
            at = stage, (topic, partition, offset)
            self.dispositions[at].add((outcome, reason))
            self.times[at] = min(seconds, self.times.get(at, seconds))
        sql = f"SELECT {at_all}, error_type FROM dead_letters_raw FINAL"
        for stage, topic, partition, offset, seconds, kind in self.store.query(sql).result_rows:
            at = stage, (topic, partition, offset)
            self.letters[at].append(kind)
            if stage == SINK:
                self.times.setdefault(at, seconds)
        rows = " UNION ALL ".join(
            f"SELECT _topic, _partition, _offset, _inserted_at FROM {one.name}" for one in tables().values()
        )
        sql = f"SELECT _topic, _partition, _offset, toFloat64(min(_inserted_at)) FROM ({rows}) GROUP BY ALL"
        for topic, partition, offset, seconds in self.store.query(sql).result_rows:
            self.landed.add((topic, partition, offset))
            self.times.setdefault((SINK, (topic, partition, offset)), seconds)
        for one in self.fed:
            for stage in one.readers:
                for place in {one.place, one.first} if stage == SINK else {one.place}:
                    if (stage, place) in self.times:
                        one.finished.setdefault(stage, self.times[stage, place])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns once `condition` holds; fails when nothing new comes for a while."""
        last, seen = time.monotonic(), -1
        while not condition():
            # the sink lands its rows in the ClickHouse that is asked
            time.sleep(3)
            self.look()
            if (now := sum(len(one.finished) for one in self.fed)) != seen:
                last, seen = time.monotonic(), now
            assert time.monotonic() - last < PATIENCE_SECONDS, f"{what}\n{self.report()}"

    def unfinished(self) -> list[tuple[str, Fed]]:
        """What a stage is not done with."""
        return [(stage, one) for one in self.fed for stage in one.readers if stage not in one.finished]

    def report(self) -> str:
        """What is not done, how workers ended, and the last lines of their logs."""
        left = [f"{stage} is not done with {one}" for stage, one in self.unfinished()]
        logs = [f"{name}: {line[:300]}" for name in stages() for line in tail(self.home.log(name), 10)]
        return "\n".join([*left[:60], f"ended: {worker_ends(self.home)}", *logs])

    def waits(self) -> dict[str, tuple[float, str]]:
        """Of each stage the longest time from a hostile record's turn to the end of the next good one."""
        found: dict[str, tuple[float, str]] = {}
        of_place: dict[tuple[str, int], list[Fed]] = defaultdict(list)
        for one in self.fed:
            of_place[one.place[:2]].append(one)
        for name in stages():
            for records in of_place.values():
                turn, hostile = self.begun, None
                for one in sorted(records, key=lambda each: each.place[2]):
                    if name not in one.readers:
                        continue
                    if one.kind is not None:
                        if hostile is None:
                            turn, hostile = max(turn, one.sent), one
                        continue
                    end = one.finished[name]
                    if hostile is not None and end - turn > found.get(name, (0.0, ""))[0]:
                        found[name] = end - turn, f"{hostile}"
                    turn, hostile = max(turn, end), None
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPOI_PIPELINE__TICK_SECONDS", "1")
        with running_stack(tmp_path_factory.mktemp("hostile") / "home", workers=True) as running:
            made = Scene(running)
            yield made
            made.store.close()


def sequence(chooser: random.Random) -> list[Hostile]:
    """Every kind, and more of them until there are enough, in any order."""
    found = [*HOSTILE, *(chooser.choice(HOSTILE) for _ in range(RECORDS - len(HOSTILE)))]
    chooser.shuffle(found)
    return found


def feeds(scene: Scene, chooser: random.Random) -> list[Iterator[None]]:
    """For each stage, what sends a good record of each topic, then hostile ones with good ones behind."""
    of_others = {topic for name in ACCOUNTED for topic in stages()[name].sources}

    def feed(names: list[str], kinds: list[Hostile]) -> Iterator[None]:
        made = [scene.topic(name, chooser) for name in names]
        for topic in made:
            scene.send(topic, None)
        yield
        for number, kind in enumerate(kinds):
            topic = made[number % len(made)]
            scene.send(topic, kind)
            for _ in range(chooser.randint(1, 2)):
                scene.send(topic, None)
            yield
        for topic in made:
            scene.send(topic, None)

    own = [name for name in stages()[SINK].sources if name not in of_others]
    found = [feed([*stages()[name].sources, retry_of(name)], sequence(chooser)) for name in ACCOUNTED]
    found.append(feed([*own, retry_of(SINK)], sequence(chooser)))
    found += [feed([name], list(UNREADABLE)) for name in LOOKED_UP]
    return found


def test_hostile_records_hold_up_nothing_and_none_vanishes(scene: Scene) -> None:
    chooser = random.Random(SEED)
    running = feeds(scene, chooser)
    for one in running:
        next(one)
    # the first rows of all tables take ClickHouse many seconds on a small machine
    scene.until(lambda: not scene.unfinished(), "the first good records are not all done")
    scene.begun = time.time()
    for turn in count(1):
        running = [one for one in running if next(one, one) is None]
        if not running:
            break
        if turn % AT_ONCE == 0:
            # else it is measured how much a small machine lands in a minute
            scene.until(lambda: not scene.unfinished(), f"what was sent in {turn} turns is not all done")
    fed = time.time()
    scene.until(lambda: not scene.unfinished(), "what was sent is not all done")
    waits = scene.waits()
    print(  # noqa: T201  for who runs it by hand
        f"{len(scene.fed)} fed in {fed - scene.begun:.0f} s, done after {time.time() - scene.begun:.0f};",
        *(f"{stage}: {seconds:.1f} s ({what});" for stage, (seconds, what) in waits.items()),
    )
    assert {stage for stage, _ in waits.items()} == {*ACCOUNTED, SINK}
    assert max(waits.values())[0] < SECONDS, waits
    for one in scene.fed:
        for stage in one.readers:
            check(scene, one, stage)
    sent = Counter(one.kind.name for one in scene.fed if one.kind)
    assert sent.keys() == {kind.name for kind in HOSTILE}
    assert_workers_stand(scene)


def check(scene: Scene, one: Fed, stage: str) -> None:
    """What a stage made of a record: one thing, and the same wherever it is told."""
    letters = [kind for place in {one.place, one.first} for kind in scene.letters[stage, place]]
    assert len(letters) <= 1, f"{stage}: {one}: {letters}"
    if stage == SINK:
        assert (one.first in scene.landed) != bool(letters), f"{stage}: {one}: {letters}"
    else:
        ((outcome, reason),) = scene.dispositions[stage, one.place]
        assert letters == ([reason] if outcome == "dead" else []), f"{stage}: {one}: {outcome}/{reason}"
    if one.kind is None:
        assert letters == [], f"{stage}: {one}"
    elif one.kind.dies and (stage, one.place[0]) != (SINK, DEAD_LETTERS):
        # a dead letter may hold anything
        assert letters, f"{stage} did not give up {one}"


def assert_workers_stand(scene: Scene) -> None:
    """Each worker lives on, or ended in a way that costs no record anything and was started again."""
    ended = worker_ends(scene.home)
    assert {code for _, code in ended} <= MAY_END, scene.report()
    changed = {name for name, pid in scene.workers().items() if pid != scene.pids[name]}
    assert changed <= {name for name, _ in ended}, scene.report()


def test_behind_all_of_them_a_decision_goes_its_whole_way(scene: Scene) -> None:
    """Its artifacts are read behind hostile ones, and its runs begin behind hostile words of workers."""
    spec = media_buyer().spec.name
    parts = {one.kind: one.artifact_id for one in artifacts(media_buyer(), builders.EPOCH)}
    of = builders.decision(
        "the-whole-way",
        agent=spec,
        prompt_id=parts["system_prompt"],
        toolset_id=parts["toolset"],
        spec_id=parts["agent_spec"],
    )
    said = builders.verdict("the-whole-way", "correct", agent=spec)
    producer = CheckedProducer(scene.settings.kafka)
    for topic, record in (("agent.decisions", of), ("expert.verdicts", said)):
        producer.send(topic, decision_key(spec, of.decision_id), scene.codec.encode(topic, record))
    producer.flush()

    def judged() -> bool:
        sql = "SELECT count() FROM dispositions WHERE stage = 'sanitize' AND startsWith(id, 'the-whole-way/')"
        return scene.store.query(sql).result_rows != [(0,)]

    end = time.monotonic() + 2 * SECONDS
    while not judged():
        assert time.monotonic() < end, scene.report()
        time.sleep(0.5)
    assert_workers_stand(scene)
