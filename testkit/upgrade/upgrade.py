"""After an upgrade: lets a filled stack drain, and says what of its manifest did not come out."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sinks.tables import tables
from testkit.upgrade.census import Census, digests, ends
from testkit.upgrade.fill import suspected
from testkit.upgrade.letters import Letter, letters
from testkit.upgrade.records import DECISIONS, POISON, VERDICTS, Copies, Wire, is_copy
from testkit.upgrade.stack import PATIENCE_SECONDS, Place, Stack, as_bytes, place

DRAIN_SECONDS = 300
RESTING = ("awaiting_verdict", "awaiting_decision", "conflict")
"""What an input may wait for with nothing under way."""


def drain(stack: Stack, manifest: Census) -> None:
    """From the start of the new release to rest; what an operator does meanwhile is done here.

    Raises AssertionError where it does not come to rest, or does not go by what the old release wrote down.
    """
    _goes_by_what_tripped(stack, manifest)
    _until_none(stack, lambda: behind(stack, manifest, "opoi-replay"), PATIENCE_SECONDS)
    assert json.loads(stack.opoi("replay", "status", "--json"))["paused"], "the pause is known"
    assert {Place(*at) for at in manifest["suspects"]} <= {*suspected(stack)}, "runs were cut short"
    runs = {one: end for one, (end, _) in manifest["topics"]["opoi.traces"].items()}
    assert ends(stack, "opoi.traces") == runs, "nothing was run in the pause"
    copies = Copies(stack)
    stack.send(
        copies.decision(name) if what == "decision" else copies.verdict(name, what, revision)
        for name, what, revision in manifest["closing"]
    )
    stack.opoi("replay", "resume")
    _until_none(stack, lambda: unfinished(stack, manifest), DRAIN_SECONDS)


def _until_none(stack: Stack, left: Callable[[], Iterable[str]], seconds: float) -> None:
    """Waits until nothing is left. Raises AssertionError with what is."""
    last: list[str] = []

    def none() -> bool:
        last[:] = left()
        return not last

    try:
        stack.until(none, "it does not come to rest", seconds)
    except AssertionError as error:
        raise AssertionError("\n".join([*last, str(error)])) from error


def _goes_by_what_tripped(stack: Stack, manifest: Census) -> None:
    """A stage that had stopped itself stops at the same record again, until an operator says otherwise."""
    before = manifest["exits"]["sanitize"]["breaker"]
    stack.until(lambda: stack.exits("sanitize").get("breaker", 0) > before, "sanitize stops again")
    buried = {one.at for one in letters(stack) if one.stage == "sanitize"}
    assert not buried.intersection(Place(*at) for at in manifest["held"]), "it stops before"
    (stack.state("sanitize") / "breaker-tripped").unlink()


def unfinished(stack: Stack, manifest: Census) -> Iterator[str]:
    """What is still under way."""
    yield from behind(stack, manifest)
    yield from rows(stack)
    yield from unaccounted(stack)


def faults(stack: Stack, manifest: Census) -> list[str]:
    """All that did not come out of a stack at rest."""
    return [
        *unfinished(stack, manifest),
        *lost(stack, manifest),
        *misjudged(stack, manifest),
        *misburied(stack, manifest),
    ]


def behind(stack: Stack, manifest: Census, left_out: str = "") -> Iterator[str]:
    """Groups of the old release that have not read to the ends of their topics."""
    committed = stack.committed()
    for group, offsets in manifest["groups"].items():
        retried = f"opoi.retry.{group.removeprefix('opoi-')}"
        for topic in {*offsets, retried} if group != left_out else ():
            for partition, end in () if topic.startswith("opoi.ticks.") else ends(stack, topic).items():
                at = committed.get(group, {}).get(topic, {}).get(partition, 0)
                if at != end:
                    yield f"group {group} is at {at} of {end} of {topic}[{partition}]"


def rows(stack: Stack) -> Iterator[str]:
    """Records that are not exactly one row, or a dead letter of the sink."""
    refused = {tuple(one.at) for one in letters(stack) if one.stage == "sink"}
    for topic, table in tables().items():
        found = Counter(stack.rows(f"SELECT _topic, _partition, _offset FROM {table.name} FINAL"))
        held = {tuple(place(message)) for message in stack.read(topic)}
        yield from (f"{at} has {count} rows" for at, count in found.items() if count > 1)
        yield from (f"{at} has no row" for at in held - refused - found.keys())
        # of a compacted topic the rows stay
        extra = set() if table.topic.cleanup == "compact" else found.keys() - held
        yield from (f"{at} has a row and is not in the topic" for at in extra)


def unaccounted(stack: Stack) -> Iterator[str]:
    """Inputs without an outcome."""
    # an archive may be old
    for one in json.loads(stack.opoi("sql", "conservation", "--param", "days=3650", "--json")):
        if one["in_work"] or one["missing"]:
            yield f"{one['stage']} says nothing of some inputs from {one['topic']}: {one}"
    waiting = "SELECT stage, topic, partition, offset, reason FROM dispositions WHERE outcome = 'pending'"
    yield from (f"{one} is pending" for one in stack.rows(waiting) if one[-1] not in RESTING)


def lost(stack: Stack, manifest: Census) -> Iterator[str]:
    """Topics that are not as the old release left them, to where it had written them."""
    for topic, count in manifest["partitions"].items():
        if stack.topics().get(topic) != count:
            yield f"{topic} has {stack.topics().get(topic)} partitions, not {count}"
    for topic, before in manifest["topics"].items():
        if not topic.startswith("opoi.ticks."):
            now = digests(stack, topic, {partition: end for partition, (end, _) in before.items()})
            yield from (
                f"{topic}[{partition}] holds other records before {end}"
                for partition, (end, digest) in before.items()
                if now[partition][1] != digest
            )
    for topic, old in manifest["compacted"].items():
        new = ends(stack, topic)
        if topic.endswith("-changelog") and sum(new.values()) <= sum(old.values()):
            yield f"nothing was written to {topic}"


def misjudged(stack: Stack, manifest: Census) -> Iterator[str]:
    """Decisions and verdicts that are not exactly one row, review or case."""
    wire = Wire(stack)

    def records(topic: str) -> list[dict[str, Any]]:
        values = (as_bytes(message.value()) for message in stack.read(topic))
        return [wire.decode(value) for value in values if value != POISON]

    def compare(what: str, found: list[Any], wanted: set[Any], more: set[Any] | None = None) -> Iterator[str]:
        """`more`: what may be there, too."""
        yield from (
            f"{what}: {one} is there {count} times" for one, count in Counter(found).items() if count > 1
        )
        yield from (f"{what}: {one} is missing" for one in sorted(wanted - {*found}))
        yield from (f"{what}: {one} came from nowhere" for one in sorted({*found} - wanted - (more or set())))

    decisions = {(one["decision_id"],) for one in records(DECISIONS)}
    decisions |= {(name,) for name in manifest["redriven"]}
    yield from compare("decisions", stack.rows("SELECT decision_id FROM agent_decisions"), decisions)
    verdicts = sorted(records(VERDICTS), key=lambda one: int(one["revision"]))
    given = {(one["verdict_id"], one["revision"]) for one in verdicts}
    yield from compare("verdicts", stack.rows("SELECT verdict_id, revision FROM expert_verdicts"), given)
    last = {one["verdict_id"]: one for one in verdicts}
    standing = {(one["verdict_id"], one["revision"]) for one in last.values() if one["kind"] != "retract"}
    reviews = stack.rows("SELECT verdict_id, revision FROM reviews WHERE status = 'joined'")
    yield from compare("reviews", reviews, standing, given)
    yield from compare("cases", stack.rows("SELECT verdict_id, revision FROM cases"), standing, given)
    requests = records("opoi.replay-requests")
    asked = {(one["replay_id"],) for one in requests}
    # a newer verdict calls off what was asked for the one before
    needed = {(one["replay_id"],) for one in requests if (one["verdict_id"], one["revision"]) in standing}
    yield from compare("requests", stack.rows("SELECT replay_id FROM replay_requests"), asked)
    yield from compare("traces", stack.rows("SELECT replay_id FROM traces"), needed, asked)
    # of the copied decisions; whether the demo's own get as far is a matter of their gates
    learned = {one["decision_id"] for one in last.values() if one["kind"] == "approve" and is_copy(one)}
    examples = stack.rows("SELECT decision_id, arm FROM training_examples")
    yield from compare("examples", examples, {(name, "opoi") for name in learned}, {*examples})


def misburied(stack: Stack, manifest: Census) -> Iterator[str]:
    """Dead letters that should not be, or are missing; in the view, those that are there twice, too."""
    wanted = Counter(Letter(stage, Place(*at), kind) for stage, at, kind in manifest["dead"])
    columns = stack.rows("SELECT stage, topic, partition, offset, error_type FROM dead_letters")
    view = Counter(Letter(stage, Place(*at), kind) for stage, *at, kind in columns)
    # a stage that stops before it commits may write one twice
    for found in (view, Counter({*letters(stack)})):
        for each in found.keys() | wanted.keys():
            if found[each] != wanted[each]:
                yield f"{each} is there {found[each]} times, not {wanted[each]}"


def forgotten(stack: Stack, manifest: Census, begun: float) -> Iterator[str]:
    """Files below `state/` that the new release, which is down again, did not take over from the old one.

    `begun`: when it was started.
    """
    for stage, before in manifest["exits"].items():
        now = stack.exits(stage)
        kept = all(now.get(how, 0) >= count for how, count in before.items())
        if not kept or sum(now.values()) <= sum(before.values()):
            yield f"{stage} ended as {before} before, as {now} now"
        if (stack.state(stage) / "mark").stat().st_mtime < begun:
            yield f"the mark of {stage} is that of the old release"
    yield from (f"{path} is left" for path in (stack.home / "state").glob("*/.deaths/*.json"))
    yield from (f"{path} is left" for path in (stack.home / "state").glob("*/*/breaker-tripped"))
    left = {*suspected(stack)}.intersection(Place(*at) for at in manifest["suspects"])
    yield from (f"{at} was done and is suspected still" for at in left)
