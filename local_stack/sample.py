"""The sample decision for the check of the reference agent, from a simulated world."""

import json
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from agent.http.check.sample import Sample, SampleAnswer
from agent.media_buyer.definition import DecisionRequest, media_buyer
from agent.media_buyer.tools import live_tools
from agent.recorder import take_snapshot
from agent.settings import AdsSettings
from local_stack.ads.app import CLOCK_HEADER
from local_stack.ads.serving import served
from local_stack.ads.world import World

WORLD_SEED = 7
DAY = date(2026, 1, 12)
NOON = time(12)


def media_buyer_sample(model_name: str) -> Sample:
    """A request to the media buyer about a campaign of the world, and that day's snapshot."""
    agent = media_buyer()
    world = World.make(WORLD_SEED, accounts=1, campaigns_per_account=1)
    [campaign] = world.campaigns
    zone = campaign.account.time_zone
    asked = DecisionRequest(
        account_id=campaign.account.account_id,
        campaign_id=campaign.campaign_id,
        date=DAY,
        time_zone=zone,
        currency=campaign.account.currency,
        target_cpa_minor=campaign.target_cpa,
        target_roas=campaign.target_roas,
    )
    decided_at = datetime.combine(DAY, NOON, ZoneInfo(zone)).astimezone(UTC)
    values = asked.model_dump(mode="json")
    headers = {CLOCK_HEADER: decided_at.isoformat()}
    with (
        served(world) as url,
        live_tools(agent, AdsSettings(graph_url=url), lambda: decided_at, headers) as tools,
    ):
        snapshot = take_snapshot(agent.spec, tools, values, decided_at)
    return Sample(
        account_id=asked.account_id,
        account_time_zone=zone,
        currency=asked.currency,
        decided_at=decided_at,
        input=values,
        question=asked.turn().parts[0].text or "",
        model=model_name,
        answers=tuple(
            SampleAnswer(
                tool=one.tool,
                arguments=json.loads(one.arguments_json),
                response=json.loads(one.response_json),
            )
            for one in snapshot
        ),
    )
