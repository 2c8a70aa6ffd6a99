"""Topics that do not fit together are refused before the first record."""

import pytest

from streams.faust_runner.safety.preflight import BrokerAway, NotReady, Topics, check, wait_until_ready

TOPICS = Topics(together=("left", "right", "pairs"), changelog="changelog", others=("single",))
FITTING = {"left": 8, "right": 8, "pairs": 8, "changelog": 8, "single": 1}


def compact(_: str) -> str:
    return "compact"


def test_fitting_topics_pass() -> None:
    assert check(TOPICS, FITTING, compact) == FITTING


@pytest.mark.parametrize("topic", ["right", "pairs", "changelog"])
def test_another_partition_count_is_named(topic: str) -> None:
    with pytest.raises(NotReady, match=f"left has 8, {topic} has 4"):
        check(TOPICS, FITTING | {topic: 4}, compact)


def test_missing_topics_are_named() -> None:
    with pytest.raises(NotReady, match="no topic pairs, single: create them"):
        check(TOPICS, {"left": 8, "right": 8, "changelog": 8}, compact)


@pytest.mark.parametrize("policy", ["delete", ""])
def test_a_changelog_that_is_not_compacted_is_refused(policy: str) -> None:
    with pytest.raises(NotReady, match=f"changelog changelog has cleanup.policy={policy}, needed is compact"):
        check(TOPICS, FITTING, lambda _: policy)


def test_a_stage_without_a_table_needs_no_changelog() -> None:
    def nobody_asks(topic: str) -> str:
        raise AssertionError(topic)

    assert check(Topics(("left",), None, ()), {"left": 3}, nobody_asks) == {"left": 3}


def test_a_broker_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.faust_runner.safety.preflight.RETRY_SECONDS", 0.0)

    class Late:
        calls = 0

        def partition_counts(self) -> dict[str, int]:
            self.calls += 1
            if self.calls < 3:
                raise BrokerAway("not yet")
            return FITTING

        def cleanup_policy(self, topic: str) -> str:
            return "compact,delete"

    late = Late()
    assert wait_until_ready(TOPICS, late) == FITTING  # type: ignore[arg-type]
    assert late.calls == 3
