"""The breaker stops a stage that refuses most of what it sees."""

from pathlib import Path

import pytest

from streams.runtime.dlq_limit import DlqLimit


@pytest.fixture
def tripped(tmp_path: Path) -> Path:
    return tmp_path / "tripped"


def breaker(tripped: Path) -> DlqLimit:
    return DlqLimit(tripped, run=5, share=0.5, window=20)


def test_a_run_of_refusals_stops_it_before_the_last_is_refused(tripped: Path) -> None:
    made = breaker(tripped)
    assert [bool(made.refuse()) for _ in range(5)] == [False] * 4 + [True]
    assert tripped.exists()


def test_a_good_record_ends_a_run(tripped: Path) -> None:
    made = breaker(tripped)
    for _ in range(30):
        assert not made.refuse()
        made.good()
        made.good()
    assert not tripped.exists()


def test_a_large_share_stops_it_although_no_run_does(tripped: Path) -> None:
    made = breaker(tripped)
    answers = []
    for _ in range(20):
        made.good()
        answers += [made.refuse(), made.refuse()]
        if any(answers):
            break
    assert "of the last 20 records were refused, allowed are 50%" in answers[-1] + answers[-2]


def test_a_share_is_not_judged_on_few_records(tripped: Path) -> None:
    made = breaker(tripped)
    assert not any(made.refuse() for _ in range(4))


def test_after_a_restart_the_first_refusal_stops_it_again(tripped: Path) -> None:
    made = breaker(tripped)
    while not made.refuse():
        pass
    again = breaker(tripped)
    assert again.half_open
    assert "the first record it refuses" in again.refuse()


def test_a_stage_that_does_well_again_is_let_go(tripped: Path) -> None:
    tripped.touch()
    made = breaker(tripped)
    for _ in range(5):
        made.good()
    assert not tripped.exists()
    assert not made.refuse()


def test_who_deletes_the_file_lets_records_through_even_while_the_worker_pauses(tripped: Path) -> None:
    made = breaker(tripped)
    assert [made.refuse() for _ in range(5)][-1]
    restarted = breaker(tripped)
    tripped.unlink()
    assert [bool(restarted.refuse()) for _ in range(5)] == [False] * 4 + [True]
    assert tripped.exists()
