"""`opoi replay show` on the real engine."""

import json

import pytest
from typer.testing import CliRunner

from sinks import migrate
from sinks.clickhouse import ClickHouse
from sinks.settings import ClickHouseSettings
from sinks.tables import tables
from streams.cli.main import app
from streams.errors import UserError
from tests.engine.front_process import Front
from tests.samples import sample_row

DATABASE = "shown"


@pytest.fixture(scope="module")
def url(front: Front) -> str:
    """ClickHouse with one trace, and a request that has none."""
    settings = ClickHouseSettings(url=front.url, database=DATABASE)
    migrate.up(settings)
    store = ClickHouse(settings)
    for name, replay_id in (("opoi.traces", "r1"), ("opoi.replay-requests", "r2")):
        store.insert(tables()[name], [sample_row(tables()[name], replay_id=replay_id, decision_id="d1")])
    store.close()
    return front.url


def show(url: str, *words: str) -> str:
    """What the command prints. Raises UserError."""
    environment = {"OPOI_CLICKHOUSE__URL": url, "OPOI_CLICKHOUSE__DATABASE": DATABASE}
    result = CliRunner().invoke(app, ["replay", "show", *words], env=environment)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_trace_is_shown_whole(url: str) -> None:
    text = show(url, "r1")
    assert text.startswith("Replay r1 of decision d1 (agent é)\n")
    for wanted in ("  oracle  ", "  action  ", "  tools  ", "  cost  ", "Sub-agent "):
        assert wanted in text


def test_the_trace_is_there_for_machines_too(url: str) -> None:
    found = json.loads(show(url, "r1", "--json"))
    assert (found["replay_id"], len(found["turns"])) == ("r1", 2)
    assert found["turns"][0]["parts"][0]["kind"]
    assert found["started_at"].endswith("Z")


def test_a_replay_that_is_not_there_is_told_in_one_line(url: str) -> None:
    with pytest.raises(UserError) as caught:
        show(url, "nowhere")
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("there is no replay 'nowhere'; `opoi sql decision")
    assert "\n" not in caught.value.message


def test_a_replay_that_has_not_ended_says_so(url: str) -> None:
    with pytest.raises(UserError, match=r"^replay r2 of decision d1 was requested at .* has no trace yet"):
        show(url, "r2")
