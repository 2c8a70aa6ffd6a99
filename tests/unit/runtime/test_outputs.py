"""Outputs are accounted for and fit their topics."""

import json
from datetime import UTC, datetime

import pytest

from schemas.records import Disposition, Rejection
from streams.core.contract import Coordinates, Output, Poison
from streams.core.dispositions import DISPOSITIONS, REJECTIONS
from streams.core.record_size import OVERHEAD
from streams.runtime.outputs import BrokenStep, Encoder, check_disposition
from testkit.faust.pairs import PAIRS, Pair, PlainCodec, specs

AT = Coordinates("left", 3, 42)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def disposed(stage: str = "pairs", offset: int = 42, outcome: str = "emitted") -> Output:
    record = Disposition(
        stage=stage,
        topic="left",
        partition=3,
        offset=offset,
        id="id1",
        outcome=outcome,  # type: ignore[arg-type]
        reason="paired",
        recorded_at=NOW,
    )
    return Output(DISPOSITIONS, "k", record)


def pair(size: int) -> Output:
    return Output(PAIRS, "id1", Pair(id="x" * size, left=1, right=2))


@pytest.fixture
def encoder() -> Encoder:
    return Encoder("pairs", PlainCodec("pairs"), specs("pairs"))


def test_one_disposition_of_the_input_and_any_of_others() -> None:
    check_disposition([disposed(), disposed(offset=7)], "pairs", AT)


@pytest.mark.parametrize(
    "outputs",
    [[], [disposed(offset=7)], [disposed(), disposed()], [disposed(stage="other")]],
    ids=["none", "of_another_input", "two", "of_another_stage"],
)
def test_anything_else_is_a_fault_of_the_step(outputs: list[Output]) -> None:
    with pytest.raises(BrokenStep, match="dispositions for left-3 at 42"):
        check_disposition(outputs, "pairs", AT)


def test_what_fits_is_encoded_as_it_is(encoder: Encoder) -> None:
    encoded = encoder.encode([disposed(), pair(1000)], NOW)
    assert [one.topic for one in encoded] == [DISPOSITIONS, PAIRS]
    assert encoded[1].key == b"id1"
    assert Pair.model_validate_json(encoded[1].value).left == 1


def test_a_topic_that_is_no_output_of_the_stage_is_a_fault_of_the_step(encoder: Encoder) -> None:
    with pytest.raises(BrokenStep, match=r"stage pairs wrote to opoi\.cases, which is none of its outputs"):
        encoder.encode([disposed(), Output("opoi.cases", "id1", Pair(id="x", left=1, right=2))], NOW)


def test_what_is_too_large_becomes_a_rejection(encoder: Encoder) -> None:
    encoded = encoder.encode([disposed(), disposed(offset=7, outcome="duplicate"), pair(5_000_000)], NOW)
    assert [one.topic for one in encoded] == [DISPOSITIONS, DISPOSITIONS, REJECTIONS]
    first, second = (Disposition.model_validate_json(one.value) for one in encoded[:2])
    assert (first.outcome, first.reason) == ("rejected", "too_large")
    assert (second.outcome, second.reason) == ("duplicate", "paired")
    rejection = Rejection.model_validate_json(encoded[2].value)
    assert rejection.reason_code == "too_large"
    assert "the Pair for pairs has 50000" in rejection.reason
    assert "allowed are 4194304" in rejection.reason
    assert [(cause.offset, cause.id) for cause in rejection.caused_by] == [(42, "id1")]


@pytest.mark.parametrize(("over", "topic"), [(0, PAIRS), (1, REJECTIONS)])
def test_one_byte_decides_whether_a_record_is_sent(encoder: Encoder, over: int, topic: str) -> None:
    around = len(encoder.encode([pair(0)], NOW)[0].value)
    key = len(b"id1")
    size = 4_194_304 - OVERHEAD - key - around + over
    first, second = encoder.encode([disposed(), pair(size)], NOW)
    assert (first.topic, second.topic) == (DISPOSITIONS, topic)
    if not over:
        assert key + len(second.value) + OVERHEAD == 4_194_304
        return
    assert Disposition.model_validate_json(first.value).reason == "too_large"
    evidence = json.loads(Rejection.model_validate_json(second.value).evidence_json)
    assert (evidence["bytes"], evidence["limit"]) == (4_194_304 - OVERHEAD - key + 1, 4_194_304)


def test_the_limit_is_the_topic_own(encoder: Encoder) -> None:
    assert encoder.fits(PAIRS, b"k", b"x" * (4 * 1024 * 1024 - 2000))
    assert not encoder.fits(PAIRS, b"k", b"x" * (4 * 1024 * 1024))


def of_a_long_id(outcome: str) -> Output:
    output = disposed(outcome=outcome)
    return Output(DISPOSITIONS, "k", output.record.model_copy(update={"id": "x" * 5_000_000}))


@pytest.mark.parametrize("outcome", ["emitted", "pending"])
def test_where_not_even_the_disposition_fits_the_input_is_poison(encoder: Encoder, outcome: str) -> None:
    with pytest.raises(Poison, match=r"Disposition for opoi.dispositions has \d+ bytes, allowed") as poison:
        encoder.encode([of_a_long_id(outcome)], NOW)
    assert poison.value.kind == "too_large"


def test_where_not_even_the_rejection_fits_the_input_is_poison(encoder: Encoder) -> None:
    emitted = disposed()
    emitted = Output(DISPOSITIONS, "k", emitted.record.model_copy(update={"id": "x" * 4_192_900}))
    with pytest.raises(Poison, match=r"Rejection for opoi.rejections has \d+ bytes, allowed are 4194304"):
        encoder.encode([emitted, Output(PAIRS, "id1", pair(5_000_000).record)], NOW)


@pytest.mark.parametrize(("size", "topic"), [(64 * 1024, PAIRS), (64 * 1024 + 1, REJECTIONS)])
def test_a_long_key_is_too_large_and_its_head_is_quoted(encoder: Encoder, size: int, topic: str) -> None:
    (encoded,) = encoder.encode([Output(PAIRS, "k" * size, pair(10).record)], NOW)
    assert encoded.topic == topic
    if topic == REJECTIONS:
        rejection = Rejection.model_validate_json(encoded.value)
        assert rejection.reason.startswith("the key of the Pair for pairs has 65537 bytes, allowed are 65536")
        assert json.loads(rejection.evidence_json)["key"] == "k" * 512
