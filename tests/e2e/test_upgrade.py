"""A stack of an earlier release with data in flight, upgraded in place: nothing lost, nothing doubled.

The folders are committed, filled by `python -m testkit.upgrade archive TAG`; `make soak` fills larger ones.
What is done to one that no user would have to do: its ports are others (`--port-base`), its pipeline's
deadlines are years away, as they were when it was filled, its tables keep rows for ever, and its broker's
records are of now. And join's table is deleted, as where another machine takes over: so one keyed stage
starts from its changelog, the other from its files.
"""

import json
import shutil
import time

import pytest

from testkit.running_stack import free_base
from testkit.upgrade.__main__ import OWN, RELEASES, UPGRADING
from testkit.upgrade.archive import unpack
from testkit.upgrade.stack import Stack
from testkit.upgrade.upgrade import drain, forgotten, lost, misburied, misjudged, unfinished

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

VERSIONS = sorted(path.parent.name for path in RELEASES.glob("*/stack.tar.xz"))


@pytest.fixture(scope="module", params=VERSIONS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What did not come out, by kind; the stack has drained and is down again."""
    release = RELEASES / request.param
    home = tmp_path_factory.mktemp("upgrade") / "home"
    manifest = json.loads((release / "stack.json").read_text())
    unpack(release / "stack.tar.xz", home, manifest["packed_at"])
    shutil.rmtree(home / "state" / "join" / "1" / "v1")
    stack = Stack(home, OWN, UPGRADING)
    begun = time.time()
    try:
        stack.opoi("up", "--port-base", str(free_base()))
        drain(stack, manifest)
        checks = {check.__name__: list(check(stack, manifest)) for check in (lost, misjudged, misburied)}
        checks["unfinished"] = list(unfinished(stack, manifest))
    finally:
        stack.opoi("down")
    return {**checks, "forgotten": list(forgotten(stack, manifest, begun))}


def test_there_is_a_release_to_upgrade_from() -> None:
    assert "0.2.1" in VERSIONS


def test_every_record_is_where_it_was(found: dict[str, list[str]]) -> None:
    assert found["lost"] == []


def test_every_record_is_read_landed_and_answered(found: dict[str, list[str]]) -> None:
    assert found["unfinished"] == []


def test_every_decision_and_verdict_is_one_row_review_and_case(found: dict[str, list[str]]) -> None:
    assert found["misjudged"] == []


def test_the_dead_letters_are_those_that_must_be(found: dict[str, list[str]]) -> None:
    assert found["misburied"] == []


def test_what_workers_had_written_down_is_gone_by(found: dict[str, list[str]]) -> None:
    assert found["forgotten"] == []
