"""Computed answers against a platform that could have been asked: the same, or none."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.as_of import AsOfToolBox, as_of_steps
from agent.derive import derive
from agent.media_buyer.definition import media_buyer
from agent.ports import ToolMiss
from schemas.identity import canonical_json
from schemas.records import AgentDecision, SnapshotEntry
from tests.unit.agent.conftest import ASK_WEEK

SPEC = media_buyer().spec
INSIGHTS = SPEC.tools["get_insights"]
TODAY = date(2026, 3, 10)
PRESETS = {"yesterday": (1, 1), "last_3d": (3, 1), "last_7d": (7, 1)}
ACCOUNT, CAMPAIGNS, AD_SETS = "act_1", ("10", "20"), ("11", "12", "21")
"""An ad set's first digit is its campaign's."""


def spent(ad_set: str, day: date) -> int:
    return int(ad_set) * 100 + day.day


def days_of(asked: dict[str, Any]) -> tuple[date, date] | None:
    if ("date_preset" in asked) == ("time_range" in asked):
        return None
    if "date_preset" in asked:
        first, last = PRESETS[asked["date_preset"]]
        return TODAY - timedelta(first), TODAY - timedelta(last)
    since, until = (date.fromisoformat(asked["time_range"][name]) for name in ("since", "until"))
    return None if since > until else (since, until)


def platform(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What the platform answers; None where it refuses."""
    days, increment = days_of(asked), asked.get("time_increment")
    if days is None or increment not in (None, 1, "all_days"):
        return None
    entity, level = asked["entity_id"], asked.get("level")
    below = [one for one in AD_SETS if entity in (ACCOUNT, one[0] + "0", one)]
    groups = {"campaign": sorted({one[0] + "0" for one in below}), "adset": below}.get(level, [entity])
    every = [days[0] + timedelta(n) for n in range((days[1] - days[0]).days + 1)]
    rows = []
    for group in groups:
        inside = [one for one in below if level is None or group in (one[0] + "0", one)]
        for first, last in [(day, day) for day in every] if increment == 1 else [days]:
            part = [day for day in every if first <= day <= last]
            row = {"spend": str(sum(spent(one, day) for one in inside for day in part))}
            names = {"campaign": {"campaign_id": group}, "adset": {"adset_id": group}}.get(level, {})
            if "campaign_id" in asked["fields"] and entity != ACCOUNT:
                names = names | {"campaign_id": entity[0] + "0"}
            dates = {"date_start": first.isoformat(), "date_stop": last.isoformat()}
            rows.append({name: row[name] for name in asked["fields"] if name in row} | names | dates)
    return {"data": rows}


ranges = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(
    lambda days: {"since": str(TODAY - timedelta(days[0])), "until": str(TODAY - timedelta(days[1]))}
)
asks = st.fixed_dictionaries(
    {
        "entity_id": st.sampled_from([ACCOUNT, *CAMPAIGNS, *AD_SETS]),
        "fields": st.sampled_from([["spend"], ["spend", "campaign_id"]]),
    },
    optional={
        "date_preset": st.sampled_from(sorted(PRESETS)),
        "time_range": ranges,
        "time_increment": st.sampled_from([1, 7, "monthly", "all_days"]),
        "level": st.sampled_from(["campaign", "adset"]),
    },
)


def in_order(answer: dict[str, Any]) -> list[str]:
    return sorted(canonical_json(row) for row in answer["data"])


@settings(deadline=None, max_examples=500)
@given(asks, asks)
def test_a_computed_answer_is_the_platforms_own(recorded: dict[str, Any], wanted: dict[str, Any]) -> None:
    body = platform(recorded)
    found = None if body is None else derive(INSIGHTS, wanted, recorded, body, TODAY)
    if found is not None:
        own = platform(wanted)
        assert own is not None, "the platform refuses this"
        assert in_order(found) == in_order(own)


def week(**changes: Any) -> dict[str, Any]:
    asked = {
        "entity_id": ACCOUNT,
        "date_preset": "last_7d",
        "time_increment": 1,
        "fields": ["spend"],
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


@pytest.mark.parametrize(
    "wanted",
    [
        week(level="campaign", time_increment=None),
        week(level="campaign", date_preset="last_3d"),
        week(entity_id="20"),
        week(entity_id="20", time_increment=None, date_preset="yesterday"),
        week(entity_id="20", time_increment="all_days"),
    ],
)
def test_the_campaigns_of_an_account_are_told_apart(wanted: dict[str, Any]) -> None:
    recorded = week(level="campaign")
    body = platform(recorded)
    found = derive(INSIGHTS, wanted, recorded, body, TODAY)
    assert found is not None
    assert in_order(found) == in_order(platform(wanted) or {})


@pytest.mark.parametrize("wanted", [week(entity_id="10"), week(entity_id="10", level="campaign")])
def test_an_ad_sets_share_is_not_its_campaign(wanted: dict[str, Any]) -> None:
    share = week(entity_id="11", level="campaign")
    assert derive(INSIGHTS, wanted, share, platform(share), TODAY) is None
    ad_sets = week(entity_id="10", level="adset")
    found = derive(INSIGHTS, week(entity_id="11"), ad_sets, platform(ad_sets), TODAY)
    assert found == platform(week(entity_id="11"))


YESTERDAY = {"date_start": "2026-03-09", "date_stop": "2026-03-09"}


@pytest.mark.parametrize(
    "days", [{"date_preset": "yesterday"}, {"time_range": {"since": "2026-03-09", "until": "2026-03-09"}}]
)
@pytest.mark.parametrize("recorded_by_day", [True, False])
@pytest.mark.parametrize("by_day", [True, False])
def test_one_days_row_is_the_day_whatever_does_not_add_up(
    days: dict[str, Any], recorded_by_day: bool, by_day: bool
) -> None:
    fields = ["reach", "frequency", "ctr"]
    row = {"reach": "90", "frequency": "1.5", "ctr": "2.5", "cpp": "7", **YESTERDAY}
    earlier = row | {"date_start": "2026-03-08", "date_stop": "2026-03-08"}
    recorded = week(
        date_preset="last_7d" if recorded_by_day else "yesterday",
        time_increment=1 if recorded_by_day else None,
        fields=[*fields, "cpp"],
    )
    wanted = week(**{"date_preset": None, "time_increment": 1 if by_day else None, "fields": fields} | days)
    body = {"data": [earlier, row] if recorded_by_day else [row]}
    found = derive(INSIGHTS, wanted, recorded, body, TODAY)
    assert found == {"data": [{name: row[name] for name in (*fields, *YESTERDAY)}]}
    longer = wanted | {"date_preset": "last_3d"}
    longer.pop("time_range", None)
    if not by_day:
        assert derive(INSIGHTS, longer, recorded, body, TODAY) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"time_increment": 7},
        {"time_increment": "monthly"},
        {"time_range": {"since": "2026-03-05", "until": "2026-03-06"}},
        {"date_preset": None, "time_range": {"since": "2026-03-06", "until": "2026-03-05"}},
    ],
)
def test_what_the_platform_refuses_is_not_answered(changes: dict[str, Any]) -> None:
    assert derive(INSIGHTS, week(**changes), week(), platform(week()), TODAY) is None
    by_week = week(time_increment=7)
    assert derive(INSIGHTS, week(time_increment=None), by_week, platform(week()), TODAY) is None


def test_a_level_without_a_field_of_its_own_is_a_miss() -> None:
    recorded = week(level="account")
    assert derive(INSIGHTS, week(entity_id="20"), recorded, platform(week()), TODAY) is None


@pytest.mark.parametrize("of_snapshot", [False, True])
def test_days_are_counted_from_the_day_of_the_read(decision: AgentDecision, of_snapshot: bool) -> None:
    """Read before midnight, decided after it: 'last_3d' is as it was when it was read, or a miss."""
    decided_at = datetime(2026, 3, 11, 4, 30, tzinfo=UTC)  # half past midnight in New York
    changed = decision.model_copy(update={"decided_at": decided_at})
    if of_snapshot:
        answer = changed.turns[2].parts[0]
        entry = SnapshotEntry(
            tool="get_insights",
            arguments_json=canonical_json(ASK_WEEK),
            request_hash=answer.request_hash or "",
            response_json=answer.response_json or "",
            fetched_at=answer.fetched_at or decided_at,
        )
        changed = changed.model_copy(update={"turns": changed.turns[:1], "snapshot": (entry,)})
    box = AsOfToolBox(SPEC, media_buyer().declarations, as_of_steps(SPEC, changed))
    asked = {**ASK_WEEK, "date_preset": "last_3d", "time_increment": None, "fields": ["spend"]}
    answer = box.call("get_insights", asked).body
    assert '"spend": "325.50"' in answer, "three days, those before the tenth"
    assert '"date_start": "2026-03-07", "date_stop": "2026-03-09"' in answer
    beyond = {**asked, "date_preset": None, "time_range": {"since": "2026-03-08", "until": "2026-03-10"}}
    with pytest.raises(ToolMiss):
        box.call("get_insights", beyond)
