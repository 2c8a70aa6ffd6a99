"""What becomes of a record whose answer does not fit: it is dead, its case is told where that is possible."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.catalog import topics
from schemas.records import AgentTrace, Disposition
from streams.core.contract import Output, Poison
from streams.core.unread import Unread
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.exit_codes import ExitCode
from streams.runtime.outputs import Encoder
from streams.runtime.publisher import Publication
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings
from streams.stages.replay import results
from streams.stages.replay.results import Results, disposition_of, read_or_dead_letter, without_turns
from testkit import builders
from tests.unit.stages.replay.replay_samples import arrived, request

ENCODER = Encoder("replay", builders.codec, topics(), without_turns)


@dataclass
class Scene:
    """Replies over a publisher that encodes, and reports when it is told to."""

    folder: Path
    put_in: list[Publication] = field(default_factory=list)
    done: int = 0

    def __post_init__(self) -> None:
        settings = WorkerSettings(dlq_limit_run=5)
        self.guards = CrashGuard.in_folders(WorkerFolders(self.folder, "replay", "1"), settings)
        self.replies = Results(SimpleNamespace(put=self.put_in.append), self.guards)  # type: ignore[arg-type]

    def ticket(self, **changes: Any) -> Any:
        def done() -> None:
            self.done += 1

        return SimpleNamespace(arrived=arrived(request(**changes)), done=done)

    def publish(self) -> Publication:
        """The publisher's next turn; what it was about."""
        publication = self.put_in.pop(0)
        try:
            ENCODER.encode(publication.outputs, publication.at)
        except Poison as poison:
            publication.refused(poison)
        else:
            publication.acknowledged()
        return publication


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def outputs(scene: Scene, ticket: Any, **changes: Any) -> tuple[Output, ...]:
    asked = results.ReplayJob(request(**changes), builders.decision())
    return (disposition_of(ticket.arrived, asked, "duplicate", "in_flight"),)


def test_an_answer_that_fits_settles_its_record(scene: Scene) -> None:
    ticket = scene.ticket()
    scene.replies.send([ticket], outputs(scene, ticket), request=request())
    assert scene.replies.unacknowledged == 1
    scene.publish()
    assert (scene.done, scene.replies.unacknowledged, scene.put_in) == (1, 0, [])


def test_a_record_whose_answer_does_not_fit_is_dead_and_its_case_is_told(scene: Scene) -> None:
    ticket, settled = scene.ticket(), []
    large = outputs(scene, ticket)[0]
    large = Output(large.topic, large.key, large.record.model_copy(update={"id": "x" * 5_000_000}))
    scene.replies.send([ticket], (large,), request=request(), then=lambda: settled.append(1))
    scene.publish()
    assert (scene.done, scene.replies.unacknowledged, settled) == (0, 1, [])
    publication = scene.publish()
    assert publication.letter is not None
    assert (publication.letter.kind, publication.letter.value) == ("too_large", ticket.arrived.value)
    trace, dead = (one.record for one in publication.outputs)
    assert isinstance(trace, AgentTrace)
    assert isinstance(dead, Disposition)
    assert (trace.replay_id, trace.status) == ("r1", "failed")
    assert (trace.reason or "").startswith("dead_letter: too_large: the Disposition for ")
    assert (dead.outcome, dead.reason, dead.id) == ("dead", "too_large", "r1")
    assert (scene.done, scene.replies.unacknowledged, settled) == (1, 0, [1])


def test_where_its_case_cannot_be_told_the_letter_alone_says_it(scene: Scene) -> None:
    # an answer can carry it, a trace cannot
    named = {"replay_id": "x" * 3_000_000}
    ticket = scene.ticket(**named)
    scene.replies.send([ticket], outputs(scene, ticket, **named), request=request(**named))
    scene.publish()
    scene.replies.bury([ticket], Poison("too_large", "so long"), request(**named))
    first, second = scene.publish(), scene.publish()
    assert first.letter is second.letter is not None
    (dead,) = (one.record for one in second.outputs)
    assert isinstance(dead, Disposition)
    assert (dead.outcome, dead.reason, dead.id, dead.offset) == ("dead", "too_large", None, 7)
    assert (scene.done, scene.replies.unacknowledged, scene.put_in) == (2, 0, [])


def test_a_run_of_answers_that_do_not_fit_stops_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[ExitCode] = []

    class Stopped(BaseException):
        """Stands for the end of the process."""

    def fail_stop(code: ExitCode, event: str, /, **details: object) -> None:
        ends.append(code)
        raise Stopped

    monkeypatch.setattr(results, "fail_stop", fail_stop)
    named = {"replay_id": "x" * 5_000_000}
    ticket = scene.ticket(**named)

    def refuse() -> None:
        scene.replies.send([ticket], outputs(scene, ticket, **named))
        scene.publish()
        scene.publish()

    for _ in range(4):
        refuse()
    with pytest.raises(Stopped):
        refuse()
    assert ends == [ExitCode.BREAKER]
    assert scene.done == 4


def test_a_batch_that_cannot_be_read_is_one_letter_and_a_disposition_of_each_record(scene: Scene) -> None:
    ticket = scene.ticket()
    at = ticket.arrived.coordinates
    value = Unread.batch(b"\x00\x00\x00\x00\x05bytes", "the codec", at.offset + 2)
    ticket.arrived = replace(ticket.arrived, key=None, value=value)
    assert read_or_dead_letter(ticket, builders.codec, scene.guards, scene.replies) is None
    publication = scene.publish()
    assert publication.letter is not None
    assert (publication.letter.kind, publication.letter.error) == ("unreadable_batch", "the codec")
    assert (publication.letter.key, publication.letter.value) == (None, value)
    found = [one.record for one in publication.outputs]
    assert [
        (one.offset, one.outcome, one.reason, one.id) for one in found if isinstance(one, Disposition)
    ] == [(at.offset + number, "dead", "unreadable_batch", None) for number in range(3)]
    assert len(found) == 3
    assert (scene.done, scene.replies.unacknowledged) == (1, 0)
