"""When the demo may call itself complete, and what it says is missing."""

from dataclasses import replace

import pytest

from local_stack.demo.feed import Sent
from local_stack.demo.watch import OUTCOMES, StageCount, Standing
from streams.stages.sink.landing import Landed, Log, without_row

SENT = Sent(["d1", "d2"], [("v1", 1), ("v1", 2)])
JOIN = StageCount("join", 4, dict.fromkeys(OUTCOMES, 0) | {"emitted": 3, "superseded": 1}, 0)
DONE = Standing((JOIN,), working=0, behind={}, arrived=(2, 2))


def test_nothing_is_missing_once_everything_is_there() -> None:
    assert DONE.missing(SENT) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arrived": (1, 2)}, "1 of 2 decisions have a row"),
        ({"arrived": (2, 1)}, "1 of 2 verdicts have a row"),
        ({"unreviewed": ("d2",)}, "1 verdicts have no review, the first on d2"),
        ({"working": 3}, "3 inputs wait for their closing outcome"),
        ({"stages": (replace(JOIN, unanswered=1),)}, "1 inputs of join have no disposition"),
        ({"stages": (replace(JOIN, inputs=5),)}, "join has 5 inputs and 4 outcomes"),
        ({"behind": {"opoi.cases[2]": 1}}, "records have no row in ClickHouse: 1 of opoi.cases[2]"),
        ({"behind": None}, "the broker does not answer, so records that are not landed are unknown"),
    ],
)
def test_what_is_missing_is_said(changes, says) -> None:
    assert replace(DONE, **changes).missing(SENT) == [says]


@pytest.mark.parametrize(
    ("topic", "landed", "missing"),
    [
        ("opoi.cases", Landed(7, 10), {}),
        # a row in the middle is lost, the last one is there
        ("opoi.cases", Landed(6, 10), {"opoi.cases[2]": 1}),
        ("opoi.cases", Landed(0, 0), {"opoi.cases[2]": 7}),
        # compaction leaves holes, so the last offset tells
        ("agent.artifacts", Landed(2, 10), {}),
        ("agent.artifacts", Landed(2, 9), {"agent.artifacts[2]": 1}),
        ("agent.artifacts", Landed(0, 0), {"agent.artifacts[2]": 7}),
    ],
)
def test_every_offset_of_a_partition_must_have_landed(topic, landed, missing) -> None:
    assert without_row([(Log(topic, 2, start=3, end=10), landed)]) == missing


def test_an_empty_partition_lacks_nothing() -> None:
    logs = (Log(topic, 0, start=4, end=4) for topic in ("opoi.cases", "agent.artifacts"))
    assert without_row((log, Landed(0, 0)) for log in logs) == {}
