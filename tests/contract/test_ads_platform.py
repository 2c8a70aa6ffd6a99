"""The local ads platform, asked by Meta's own SDK: shapes, errors, paging, time, and no replay among them."""

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from urllib.request import Request, urlopen

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.campaign import Campaign
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from agent.as_of import AsOfToolBox, as_of_steps
from agent.derive import derive
from agent.fakes import ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import media_buyer
from agent.media_buyer.tools import live_tools
from agent.ports import ToolError, ToolMiss
from agent.recorder import take_snapshot
from agent.replay import execute
from agent.settings import AdsSettings
from local_stack.ads.serving import served
from local_stack.ads.world import World
from local_stack.traffic import FIRST_DAY, PlatformAway, Production
from schemas.records import AgentDecision
from tests.unit.agent.http.http_kit import Known, replay_request

NOW = datetime(2026, 3, 10, 13, tzinfo=UTC)
FIELDS = ["spend", "impressions", "clicks", "actions", "purchase_roas", "cost_per_action_type"]


@pytest.fixture(scope="module")
def url():
    with served(World.make(7, accounts=4)) as address:
        yield address


@pytest.fixture(autouse=True)
def fresh(url):
    post(url, "reset", {})


def post(url, path, body):
    request = Request(f"{url}/local/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def local(url, path):
    with urlopen(f"{url}/local/{path}", timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture
def api(url):
    session = FacebookSession(access_token="token", timeout=60)
    session.GRAPH = url
    session.requests.headers["X-Local-Now"] = NOW.isoformat()
    yield FacebookAdsApi(session, api_version="v25.0")
    session.requests.close()


@pytest.fixture
def order(url):
    return local(url, "campaigns")[0]


@pytest.fixture
def campaign(api, order):
    return Campaign(order["campaign_id"], api=api)


def at(api, instant):
    api._session.requests.headers["X-Local-Now"] = instant.isoformat()


def insights(campaign, **parameters):
    return [row.export_all_data() for row in campaign.get_insights(fields=FIELDS, params=parameters)]


def purchases(row):
    return sum(int(entry["value"]) for entry in row.get("actions", []) if entry["action_type"] == "purchase")


def test_a_week_by_day_is_seven_rows_of_strings(campaign):
    rows = insights(campaign, date_preset="last_7d", time_increment=1)
    days = [(date(2026, 3, 3) + timedelta(days=number)).isoformat() for number in range(7)]
    assert [row["date_start"] for row in rows] == [row["date_stop"] for row in rows] == days
    for row in rows:
        assert row["spend"] == f"{float(row['spend']):.2f}"
        assert row["impressions"].isdecimal()
        assert {entry["action_type"] for entry in row["actions"]} == {
            "link_click",
            "purchase",
            "omni_purchase",
        }
        assert row["purchase_roas"][0]["action_type"] == "omni_purchase"
        cost = float(row["cost_per_action_type"][0]["value"])
        assert cost == pytest.approx(float(row["spend"]) / purchases(row), abs=1e-5)


def test_a_window_is_the_sum_of_its_days(campaign):
    daily = insights(campaign, date_preset="last_7d", time_increment=1)
    (whole,) = insights(campaign, date_preset="last_7d")
    assert float(whole["spend"]) == pytest.approx(sum(float(row["spend"]) for row in daily))
    assert purchases(whole) == sum(map(purchases, daily))
    assert (whole["date_start"], whole["date_stop"]) == ("2026-03-03", "2026-03-09")


def test_an_account_is_the_sum_of_its_campaigns(api, url, order):
    account = AdAccount(order["account_id"], api=api)
    ours = [one for one in local(url, "campaigns") if one["account_id"] == order["account_id"]]
    (whole,) = insights(account, date_preset="yesterday")
    parts = [insights(Campaign(one["campaign_id"], api=api), date_preset="yesterday")[0] for one in ours]
    assert len(parts) == 2
    assert float(whole["spend"]) == pytest.approx(sum(float(part["spend"]) for part in parts))
    by_campaign = insights(account, date_preset="yesterday", level="campaign")
    assert [row["spend"] for row in by_campaign] == [part["spend"] for part in parts]


def test_yesterday_is_a_day_of_the_accounts_own_calendar(api, campaign):
    at(api, datetime(2026, 3, 10, 3, tzinfo=UTC))  # still the ninth in New York
    assert insights(campaign, date_preset="yesterday")[0]["date_start"] == "2026-03-08"


def test_conversions_are_restated_and_spend_is_not(api, campaign):
    days = {"since": "2026-03-03", "until": "2026-03-09"}
    early = insights(campaign, time_range=days)[0]
    at(api, NOW + timedelta(days=40))
    late = insights(campaign, time_range=days)[0]
    assert early["spend"] == late["spend"]
    assert purchases(early) < purchases(late)
    at(api, NOW)
    assert insights(campaign, time_range=days)[0] == early


def test_the_world_follows_from_its_seed():
    assert World.make(7, accounts=2) == World.make(7, accounts=2)
    assert World.make(7, accounts=2) != World.make(8, accounts=2)


def test_a_budget_is_written_in_minor_units_and_shows_in_the_next_days_spend(api, campaign):
    before = campaign.api_get(fields=["daily_budget", "status", "budget_remaining"]).export_all_data()
    assert before["daily_budget"].isdecimal()
    budget = int(before["daily_budget"])
    at(api, NOW + timedelta(days=2))
    untouched = float(insights(campaign, date_preset="yesterday")[0]["spend"])
    at(api, NOW)
    campaign.api_update(params={"daily_budget": budget // 2})
    assert campaign.api_get(fields=["daily_budget"])["daily_budget"] == str(budget // 2)
    at(api, NOW + timedelta(days=2))
    assert float(insights(campaign, date_preset="yesterday")[0]["spend"]) == pytest.approx(
        untouched / 2, rel=0.01
    )
    at(api, NOW - timedelta(days=1))
    assert campaign.api_get(fields=["daily_budget"])["daily_budget"] == str(budget)


def test_a_paused_campaign_delivers_nothing_until_the_weeks_plan(api, campaign):
    campaign.api_update(params={"status": "PAUSED"})
    assert campaign.api_get(fields=["effective_status"])["effective_status"] == "PAUSED"
    at(api, NOW + timedelta(days=2))
    assert insights(campaign, date_preset="yesterday") == []
    at(api, NOW + timedelta(days=7))
    assert campaign.api_get(fields=["status"])["status"] == "ACTIVE"


def test_a_dry_run_changes_nothing(campaign):
    before = campaign.api_get(fields=["daily_budget"])["daily_budget"]
    campaign.api_update(params={"daily_budget": 5000, "execution_options": ["validate_only"]})
    assert campaign.api_get(fields=["daily_budget"])["daily_budget"] == before


def test_a_significant_edit_starts_the_learning_phase(api, campaign):
    budget = int(campaign.api_get(fields=["daily_budget"])["daily_budget"])
    campaign.api_update(params={"daily_budget": budget * 2})
    at(api, NOW + timedelta(hours=1))
    stages = [one["learning_stage_info"] for one in campaign.get_ad_sets(fields=["learning_stage_info"])]
    assert len(stages) in (2, 3)
    stage = stages[0]
    assert (stage["status"], stage["last_sig_edit_ts"]) == ("LEARNING", int(NOW.timestamp()))


def test_pages_follow_one_another(api, order, url):
    account = AdAccount(order["account_id"], api=api)
    campaigns = account.get_campaigns(fields=["name"], params={"limit": 1})
    assert len(campaigns) == 1
    assert len({one["id"] for one in campaigns}) == 2


@pytest.mark.filterwarnings("ignore:value of:UserWarning")
@pytest.mark.parametrize(
    ("parameters", "code", "subcode"),
    [
        ({"date_preset": "last_9d"}, 100, None),
        ({"time_range": {"since": "2026-03-09", "until": "2026-03-01"}}, 100, None),
        ({"time_range": {"since": "2000-01-01", "until": "2026-03-01"}, "time_increment": 1}, 100, 1487534),
        ({"time_increment": 91}, 100, None),
        ({"limit": 0}, 100, None),
        ({"breakdowns": ["hair"]}, 100, None),
        ({"breakdowns": ["age", "gender", "publisher_platform"]}, 100, None),
        ({"level": "account"}, 100, None),
        ({"action_attribution_windows": ["28d_view"]}, 100, None),
    ],
)
def test_what_cannot_be_asked_is_an_error_in_metas_shape(campaign, parameters, code, subcode):
    with pytest.raises(FacebookRequestError) as raised:
        campaign.get_insights(fields=["spend"], params=parameters)
    error = raised.value
    assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (400, code, subcode)
    assert error.body()["error"]["fbtrace_id"]


def test_unknown_objects_tokens_and_versions(api, url):
    with pytest.raises(FacebookRequestError) as raised:
        Campaign("123", api=api).api_get(fields=["name"])
    assert (raised.value.api_error_code(), raised.value.api_error_subcode()) == (100, 33)
    session = FacebookSession(access_token="", timeout=60)
    session.GRAPH = url
    with pytest.raises(FacebookRequestError) as raised:
        Campaign("123", api=FacebookAdsApi(session, api_version="v25.0")).api_get(fields=["name"])
    assert raised.value.api_error_code() == 104
    with pytest.raises(FacebookRequestError) as raised:
        Campaign("123", api=FacebookAdsApi(api._session, api_version="v19.0")).api_get(fields=["name"])
    assert raised.value.api_error_code() == 2635
    session.requests.close()


@pytest.mark.filterwarnings("ignore:value of:UserWarning")
@pytest.mark.parametrize(
    "values", [{"daily_budget": 99}, {"daily_budget": "12.50"}, {"status": "GONE"}, {"name": "x"}]
)
def test_writes_that_the_platform_does_not_take(campaign, values):
    with pytest.raises(FacebookRequestError) as raised:
        campaign.api_update(params=values)
    assert raised.value.api_error_code() == 100


def test_the_fifth_budget_change_of_an_hour_is_refused(api, campaign):
    for number in range(4):
        at(api, NOW + timedelta(minutes=number))
        campaign.api_update(params={"daily_budget": 20000 + number})
    at(api, NOW + timedelta(minutes=10))
    with pytest.raises(FacebookRequestError) as raised:
        campaign.api_update(params={"daily_budget": 30000})
    assert (raised.value.api_error_code(), raised.value.api_error_subcode()) == (613, 1487742)
    at(api, NOW + timedelta(hours=2))
    campaign.api_update(params={"daily_budget": 30000})


def test_usage_is_told_and_the_quota_ends():
    with served(World.make(7, accounts=1), points=3) as url:
        session = FacebookSession(access_token="token", timeout=60)
        session.GRAPH = url
        api = FacebookAdsApi(session, api_version="v25.0")
        campaign = Campaign(local(url, "campaigns")[0]["campaign_id"], api=api)
        headers = campaign.get_insights(fields=["spend"]).headers()
        (usage,) = json.loads(headers["X-Business-Use-Case-Usage"]).values()
        assert usage[0]["call_count"] == 33
        with pytest.raises(FacebookRequestError) as raised:
            campaign.api_update(params={"daily_budget": 20000})
        assert (raised.value.api_error_code(), raised.value.api_transient_error()) == (80004, True)
        assert local(url, "stats") == {"reads": 1, "writes": 1, "throttled": 1}
        session.requests.close()


@pytest.fixture
def tools(url):
    settings = AdsSettings(graph_url=url)
    with live_tools(media_buyer(), settings, lambda: NOW, {"X-Local-Now": NOW.isoformat()}) as made:
        yield made


def asks(order, **changes):
    wanted = {
        "entity_id": order["campaign_id"],
        "date_preset": "last_7d",
        "time_increment": 1,
        "fields": FIELDS,
    }
    return {name: value for name, value in (wanted | changes).items() if value is not None}


def test_the_tools_answer_in_metas_shapes(tools, order):
    rows = json.loads(tools.call("get_insights", asks(order)).body)["data"]
    assert len(rows) == 7
    node = json.loads(tools.call("get_campaign", {"campaign_id": order["campaign_id"]}).body)
    assert set(node) == {
        "id", "name", "daily_budget", "status", "effective_status", "budget_remaining", "learning_stage_info",
    }  # fmt: skip
    assert node["learning_stage_info"]["status"] in ("LEARNING", "SUCCESS", "FAIL")


def test_a_passing_failure_is_asked_again_and_a_lasting_one_is_shown(tools, order, url):
    post(url, "faults", {"status": 500, "count": 2})
    assert json.loads(tools.call("get_insights", asks(order)).body)["data"]
    post(url, "faults", {"status": 429, "count": 50})
    with pytest.raises(ToolError, match=r"too many calls to this ad-account act_.*code 80004"):
        tools.call("get_campaign", {"campaign_id": order["campaign_id"]})


@pytest.mark.parametrize(
    ("tool", "arguments", "shown"),
    [
        ("get_campaign", {"campaign_id": "123"}, "Object with ID '123' does not exist.*code 100, subcode 33"),
        ("get_campaign", {}, "get_campaign cannot be called like this: campaign_id: Field required"),
        (
            "set_daily_budget",
            {"campaign_id": "1", "daily_budget": "9"},
            "daily_budget: Input should be a valid",
        ),
        (
            "set_status",
            {"campaign_id": "1", "status": "GONE"},
            "status: Input should be 'ACTIVE' or 'PAUSED'",
        ),
    ],
)
def test_the_model_reads_what_was_wrong(tools, tool, arguments, shown):
    with pytest.raises(ToolError, match=shown):
        tools.call(tool, arguments)


def test_no_error_shows_the_token():
    settings = AdsSettings(graph_url="http://127.0.0.1:9", access_token="verysecret")
    with live_tools(media_buyer(), settings, lambda: NOW) as tools, pytest.raises(ToolError) as raised:
        tools.call("get_campaign", {"campaign_id": "1"})
    assert str(raised.value) == "the ads platform cannot be reached (ConnectionError)"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("preset", ["yesterday", "last_3d", "last_7d"])
@pytest.mark.parametrize("increment", [1, None])
def test_a_computed_answer_is_what_the_platform_said_that_day(tools, order, preset, increment):
    """Also where a purchase is missing: sums of the recorded days, not a second look at the platform."""
    fields = [*FIELDS, "ctr", "cpc", "cpm", "action_values"]
    recorded = asks(order, date_preset="last_28d", fields=fields)
    body = json.loads(tools.call("get_insights", recorded).body)
    wanted = asks(order, date_preset=preset, time_increment=increment, fields=fields)
    found = derive(media_buyer().spec.tools["get_insights"], wanted, recorded, body, date(2026, 3, 10))
    live = json.loads(tools.call("get_insights", wanted).body)
    assert len(found["data"]) == len(live["data"])
    for ours, theirs in zip(found["data"], live["data"], strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert flat(ours[name]) == pytest.approx(flat(value), abs=2e-6), name


def flat(value):
    if isinstance(value, list):
        return {entry["action_type"]: float(entry["value"]) for entry in value}
    return {"date": int(value.replace("-", ""))} if value.count("-") == 2 else {"": float(value)}


def script(order, budget):
    campaign = order["campaign_id"]
    write = call("set_daily_budget", campaign_id=campaign, daily_budget=budget)
    decided = decision_text("scale_up", campaign, daily_budget=budget)
    reads = says(call("get_insights", **asks(order)), call("get_campaign", campaign_id=campaign))
    return [reads, says(decided, write), says(text("Done."))]


LEVEL_FIELDS = ["spend", "impressions", "clicks", "actions", "action_values"]


def figures(rows):
    """Spend, impressions, clicks, purchases and value, over all rows."""
    return (
        round(sum(float(row["spend"]) for row in rows), 2),
        sum(int(row["impressions"]) for row in rows),
        sum(int(row["clicks"]) for row in rows),
        sum(map(purchases, rows)),
        round(sum(float(entry["value"]) for row in rows for entry in row.get("action_values", [])), 2),
    )


@pytest.mark.parametrize("asked", [{"level": "adset"}, {"level": "ad"}, {"breakdowns": ["age"]},
                                   {"breakdowns": ["gender", "publisher_platform"]},
                                   {"level": "adset", "breakdowns": ["gender"]}])  # fmt: skip
def test_the_parts_of_every_level_and_breakdown_are_the_whole(campaign, asked):
    for parameters in ({"date_preset": "yesterday"}, {"date_preset": "last_7d", "time_increment": 1}):
        whole = [r.export_all_data() for r in campaign.get_insights(fields=LEVEL_FIELDS, params=parameters)]
        parts = [
            row.export_all_data()
            for row in campaign.get_insights(
                fields=LEVEL_FIELDS, params={**parameters, **asked, "limit": 500}
            )
        ]
        assert len(parts) > len(whole)
        assert figures(parts) == figures(whole)


def test_an_ad_set_and_an_ad_answer_for_themselves(campaign):
    fields = [*LEVEL_FIELDS, "adset_id", "ad_id"]
    for level, name in (("adset", "adset_id"), ("ad", "ad_id")):
        rows = campaign.get_insights(fields=fields, params={"date_preset": "last_3d", "level": level})
        row = rows[0].export_all_data()
        one = Campaign(row[name], api=campaign.get_api())
        (own,) = one.get_insights(fields=fields, params={"date_preset": "last_3d"})
        assert own.export_all_data() == row


def test_purchases_by_window_are_parts_of_the_accounts_setting(campaign):
    windows = ["1d_click", "7d_click", "1d_view"]
    (row,) = insights(campaign, date_preset="last_7d", action_attribution_windows=windows)
    (bought,) = [entry for entry in row["actions"] if entry["action_type"] == "purchase"]
    counts = {name: int(bought[name]) for name in windows}
    assert counts["7d_click"] + counts["1d_view"] == int(bought["value"])
    assert 0 < counts["1d_click"] < counts["7d_click"]


def test_the_change_history_tells_plan_and_writes(api, campaign, order):
    account = AdAccount(order["account_id"], api=api)
    before = int(campaign.api_get(fields=["daily_budget"])["daily_budget"])
    campaign.api_update(params={"daily_budget": before + 1000})
    campaign.api_update(params={"status": "PAUSED"})
    at(api, NOW + timedelta(hours=1))
    since = int((NOW - timedelta(days=28)).timestamp())
    found = account.get_activities(
        fields=["event_type", "event_time", "actor_name", "object_id", "extra_data"],
        params={"since": since, "oid": campaign["id"]},
    )
    events = [event.export_all_data() for event in found]
    kinds = {event["event_type"] for event in events[:2]}
    assert kinds == {"update_campaign_run_status", "update_campaign_budget"}
    ours = next(event for event in events if event["event_type"] == "update_campaign_budget")
    assert ours["actor_name"] == "Media buyer"
    assert json.loads(ours["extra_data"])["new_value"] == before + 1000
    assert {event["object_id"] for event in events} == {order["campaign_id"]}
    at(api, NOW - timedelta(hours=1))
    earlier = account.get_activities(fields=["event_type", "actor_name"], params={"since": since})
    assert {event["actor_name"] for event in earlier} <= {"Account team"}


def test_ads_ad_sets_and_the_account_can_be_read(api, campaign, order):
    ad_sets = {one["id"] for one in campaign.get_ad_sets(fields=["name"])}
    ads = [one.export_all_data() for one in campaign.get_ads(fields=["adset_id", "effective_status"])]
    assert {one["adset_id"] for one in ads} == ad_sets
    assert {one["effective_status"] for one in ads} == {"ACTIVE"}
    account = AdAccount(order["account_id"], api=api).api_get(fields=["currency", "account_status"])
    assert (account["currency"], account["account_status"]) == (order["currency"], 1)
    with pytest.raises(FacebookRequestError) as raised:
        Campaign(min(ad_sets), api=api).api_update(params={"daily_budget": 5000})
    assert raised.value.api_error_code() == 100


def snapshot_of(tools, order):
    values = {**order, "date": "2026-03-10"}
    entries = take_snapshot(media_buyer().spec, tools, values, NOW)
    assert len(entries) == len(media_buyer().spec.snapshot)
    decision = AgentDecision.model_construct(
        turns=(), sub_agent_runs=(), snapshot=entries, decided_at=NOW, account_time_zone=order["time_zone"]
    )
    agent = media_buyer()
    return AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))


def test_the_snapshot_answers_every_tool_as_the_platform_did(tools, order):
    """What the agent and its analysts can ask, but for reach over days that nobody asked together."""
    box = snapshot_of(tools, order)
    campaign, account = order["campaign_id"], order["account_id"]
    ad_set = json.loads(tools.call("get_ad_sets", {"campaign_id": campaign}).body)["data"][0]["id"]
    ratios = ["spend", "clicks", "actions", "ctr", "cpc", "cpm", "purchase_roas", "cost_per_action_type"]
    worn = ["spend", "impressions", "clicks", "actions", "purchase_roas", "frequency", "ctr"]
    span = {"since": "2026-02-20", "until": "2026-03-01"}
    week = {"date_preset": "last_7d", "fields": ratios}
    calls = [
        ("get_insights", {"entity_id": campaign, **week}),
        ("get_insights", {"entity_id": campaign, "time_range": span, "fields": ratios}),
        ("get_insights", {"entity_id": campaign, "level": "adset", **week}),
        ("get_insights", {"entity_id": campaign, "level": "ad", "time_increment": 1, **week}),
        ("get_insights", {"entity_id": ad_set, **week}),
        ("get_insights", {"entity_id": account, "date_preset": "yesterday", "fields": ratios}),
        ("get_insights", {"entity_id": campaign, "date_preset": "last_7d", "fields": ["reach", "frequency"]}),
        ("get_insights", {"entity_id": campaign, "level": "ad", "date_preset": "last_7d", "fields": worn}),
        ("get_insights", {"entity_id": campaign, "level": "ad", "date_preset": "yesterday", "fields": worn}),
        (
            "get_insights",
            {"entity_id": account, "date_preset": "yesterday", "fields": ["reach", "frequency"]},
        ),
        (
            "get_insights",
            {
                "entity_id": campaign,
                "date_preset": "last_3d",
                "action_attribution_windows": ["1d_click"],
                "fields": ["actions"],
            },
        ),
        (
            "get_breakdown",
            {
                "entity_id": campaign,
                "breakdowns": ["age"],
                "date_preset": "last_3d",
                "fields": ["spend", "actions", "cost_per_action_type"],
            },
        ),
        ("get_account", {"account_id": account}),
        ("get_campaign", {"campaign_id": campaign}),
        ("get_ad_sets", {"campaign_id": campaign}),
        ("get_ads", {"campaign_id": campaign}),
        ("get_change_history", {"account_id": account, "campaign_id": campaign}),
    ]
    for tool, arguments in calls:
        live, found = tools.call(tool, arguments), box.call(tool, arguments)
        assert found.answered_by == "snapshot", (tool, arguments)
        theirs, ours = json.loads(live.body), json.loads(found.body)
        if "data" not in theirs or tool in ("get_ad_sets", "get_ads", "get_change_history"):
            assert ours == theirs
            continue
        assert len(ours["data"]) == len(theirs["data"])
        for one, other in zip(ours["data"], theirs["data"], strict=True):
            assert one.keys() == other.keys()
            for name, value in other.items():
                if name not in ("age", "date_start", "date_stop"):
                    assert flat(one[name]) == pytest.approx(flat(value), abs=2e-6), (tool, arguments, name)


def test_what_does_not_add_up_is_a_miss(tools, order):
    box = snapshot_of(tools, order)
    for arguments in (
        {"date_preset": "last_3d", "level": "ad", "fields": ["reach"]},
        {"time_range": {"since": "2026-03-01", "until": "2026-03-05"}, "fields": ["frequency"]},
        {"date_preset": "last_7d", "level": "adset", "action_attribution_windows": ["1d_view"],
         "fields": ["actions"]},
    ):  # fmt: skip
        with pytest.raises(ToolMiss):
            box.call("get_insights", {"entity_id": order["campaign_id"], **arguments})


def test_insights_have_a_throttle_code_of_their_own(tools, order, url):
    post(url, "faults", {"status": 429, "count": 50})
    with pytest.raises(ToolError, match="code 80000, subcode 2446079"):
        tools.call("get_insights", asks(order))


def test_production_records_what_it_saw_and_a_replay_never_asks_the_platform(url):
    orders = local(url, "campaigns")
    chosen = ScriptedModel([])
    production = Production(chosen, "m", AdsSettings(graph_url=url), concurrency=1)
    (first,) = Random(f"1/{FIRST_DAY}").sample(orders, 1)  # what seed 1 asks for on the first day
    noon = {"X-Local-Now": f"{FIRST_DAY}T17:00:00+00:00"}
    node = Request(f"{url}/v25.0/{first['campaign_id']}?fields=daily_budget&access_token=t", headers=noon)
    with urlopen(node, timeout=60) as answer:
        present = int(json.loads(answer.read())["daily_budget"])
    chosen.replies = script(first, round(present * 1.2))
    (decision,) = production.decide(1, seed=1)
    assert decision.action.target == first["campaign_id"]
    assert [entry.tool for entry in decision.snapshot] == [
        call.tool for call in production.agent.spec.snapshot
    ]
    assert decision.segment == f"{first['currency']}/{first['time_zone']}"
    assert all(p.fetched_at == decision.decided_at for t in decision.turns for p in t.parts if p.request_hash)
    before = local(url, "stats")
    assert before["writes"] == 1
    agent = production.agent
    box = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))
    box.call("get_insights", asks(first, date_preset="yesterday"))
    box.call("set_daily_budget", {"campaign_id": first["campaign_id"], "daily_budget": 1})
    assert local(url, "stats") == before


def without(decision, tool):
    """The decision without what was recorded as one tool's answers."""
    kept = (
        [part for part in turn.parts if part.kind != "function_response" or part.tool != tool]
        for turn in decision.turns
    )
    turns = [
        turn.model_copy(update={"parts": tuple(parts)})
        for turn, parts in zip(decision.turns, kept, strict=True)
    ]
    return decision.model_copy(update={"turns": tuple(turns)})


def replayed(decision, words):
    """What answered each call of a replay, and the answers, by tool."""
    trace = execute(replay_request(decision), decision, Known(), ScriptedModel(words))
    parts = [part for turn in trace.turns for part in turn.parts if part.kind == "function_response"]
    return trace.misses, {part.tool: (part.answered_by, part.response_json) for part in parts}


def test_a_deleted_answer_comes_from_the_snapshot_and_without_that_it_is_that_miss(url):
    (order,) = Random(f"1/{FIRST_DAY}").sample(local(url, "campaigns"), 1)  # what seed 1 asks for first
    campaign = order["campaign_id"]
    reads = says(call("get_insights", **asks(order)), call("get_campaign", campaign_id=campaign))
    words = [reads, says(decision_text("hold", campaign))]
    production = Production(ScriptedModel(words), "m", AdsSettings(graph_url=url), concurrency=1)
    (decision,) = production.decide(1, seed=1)
    recorded = {"get_insights": "recording", "get_campaign": "recording"}
    misses, whole = replayed(decision, words)
    assert (misses, {tool: by for tool, (by, _) in whole.items()}) == (0, recorded)

    bare = without(decision, "get_insights")
    misses, found = replayed(bare, words)
    by_snapshot = recorded | {"get_insights": "snapshot"}
    assert (misses, {tool: by for tool, (by, _) in found.items()}) == (0, by_snapshot)
    rows, expected = (json.loads(one["get_insights"][1])["data"] for one in (found, whole))
    for row, other in zip(rows, expected, strict=True):
        assert {name: flat(row[name]) for name in FIELDS if name in other} == {
            name: pytest.approx(flat(other[name]), abs=2e-6) for name in FIELDS if name in other
        }

    misses, found = replayed(bare.model_copy(update={"snapshot": ()}), words)
    assert (misses, {tool: by for tool, (by, _) in found.items()}) == (1, recorded | {"get_insights": "miss"})


def test_production_without_a_platform_says_where_it_looked():
    production = Production(ScriptedModel([]), "m", AdsSettings(graph_url="http://127.0.0.1:9"))
    with pytest.raises(PlatformAway, match=r"no local ads platform at http://127\.0\.0\.1:9"):
        list(production.decide(1, seed=1))


def test_more_decisions_than_campaigns_and_days_are_refused(url):
    production = Production(ScriptedModel([]), "m", AdsSettings(graph_url=url))
    with pytest.raises(ValueError, match="9 decisions do not fit into 1 days of 8 campaigns"):
        list(production.decide(9, seed=1, days=1))


def test_a_shift_makes_impressions_dearer_from_its_day_on(api, campaign, url):
    before = insights(campaign, date_preset="last_3d", time_increment=1)
    post(url, "shift", {"start": "2026-03-09", "cost": 2.0})
    after = insights(campaign, date_preset="last_3d", time_increment=1)
    assert after[:2] == before[:2]
    assert int(after[2]["impressions"]) == pytest.approx(int(before[2]["impressions"]) / 2, rel=0.01)
