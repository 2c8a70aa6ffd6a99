"""The HTTP face of the local ads platform: Marketing API routes under /v25.0, its own under /local.

The world's clock is the request's header `X-Local-Now` (an ISO instant with offset), so that decisions
about different days can run at the same time; without it, the machine's clock.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_stack.ads import insights
from local_stack.ads.errors import GraphError, invalid_parameter, no_token, unknown_object
from local_stack.ads.insight_parameters import parse_fields
from local_stack.ads.platform import (
    ACCOUNT_FIELDS,
    ACTIVITY_DAYS,
    ACTIVITY_FIELDS,
    AD_FIELDS,
    AD_SET_FIELDS,
    CAMPAIGN_FIELDS,
    POINTS,
    Platform,
)
from local_stack.ads.state import State
from local_stack.ads.structure import Ad, AdSet
from local_stack.ads.world import Account, Campaign, Shift, World

API_VERSION = "v25.0"
CLOCK_HEADER = "X-Local-Now"
DEFAULT_PAGE = 25
MAXIMUM_PAGE = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One Marketing API request: what it is about, its parameters, the world's time, its own address."""

    platform: Platform
    object_id: str
    found: insights.Entity
    parameters: Mapping[str, str]
    now: datetime
    url: str

    def page(self, items: list[dict[str, object]]) -> dict[str, object]:
        """The requested page of `items`, with Meta's cursors; `next` only if more follows."""
        try:
            start = int(base64.urlsafe_b64decode(self.parameters.get("after", "")) or 0)
            limit = int(self.parameters.get("limit", DEFAULT_PAGE))
        except (ValueError, binascii.Error) as error:
            raise invalid_parameter("after must be a cursor of an earlier page and limit a number") from error
        if start < 0 or not 1 <= limit <= MAXIMUM_PAGE:
            raise invalid_parameter(f"limit must be 1 to {MAXIMUM_PAGE}, not {limit}")
        page = items[start : start + limit]
        if not page:
            return {"data": []}
        cursors = {"before": _cursor(start), "after": _cursor(start + len(page))}
        paging: dict[str, object] = {"cursors": cursors}
        if start + limit < len(items):
            paging["next"] = f"{self.url}?limit={limit}&after={cursors['after']}"
        return {"data": page, "paging": paging}

    def fields(self, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """The requested fields. Raises GraphError."""
        return parse_fields(self.parameters.get("fields"), allowed, ("id",))


def _cursor(index: int) -> str:
    return base64.urlsafe_b64encode(str(index).encode()).decode()


def _now(request: Request) -> datetime:
    text = request.headers.get(CLOCK_HEADER)
    if text is None:
        return datetime.now(UTC)
    try:
        now = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid_parameter(f"{CLOCK_HEADER} must be an ISO instant with offset, not {text!r}") from error
    if now.tzinfo is None:
        raise invalid_parameter(f"{CLOCK_HEADER} needs an offset: {text!r}")
    return now.astimezone(UTC)


def read(call: Call) -> dict[str, object]:
    """A node."""
    match call.found:
        case Campaign():
            return call.platform.campaign(call.found, call.now, call.fields(CAMPAIGN_FIELDS))
        case AdSet():
            return call.platform.ad_set(call.found, call.now, call.fields(AD_SET_FIELDS))
        case Ad():
            return call.platform.ad(call.found, call.now, call.fields(AD_FIELDS))
        case _:
            return call.platform.account(call.found, call.fields(ACCOUNT_FIELDS))


def _campaigns(call: Call) -> tuple[Campaign, ...]:
    """The campaigns of the requested account, or the requested campaign."""
    if isinstance(call.found, Campaign):
        return (call.found,)
    if isinstance(call.found, Account):
        return call.platform.of_account(call.found)
    raise unknown_object(call.object_id, "GET")


def read_insights(call: Call) -> dict[str, object]:
    """Insights of an account, a campaign, an ad set or an ad."""
    state = call.platform.state
    return call.page(insights.rows(state, insights.group_of(state, call.found), call.parameters, call.now))


def read_campaigns(call: Call) -> dict[str, object]:
    """The campaigns of an account."""
    if not isinstance(call.found, Account):
        raise unknown_object(call.object_id, "GET")
    fields = call.fields(CAMPAIGN_FIELDS)
    return call.page([call.platform.campaign(c, call.now, fields) for c in _campaigns(call)])


def read_ad_sets(call: Call) -> dict[str, object]:
    """The ad sets of an account or a campaign."""
    fields = call.fields(AD_SET_FIELDS)
    state = call.platform.state
    ad_sets = [ad_set for campaign in _campaigns(call) for ad_set in state.ad_sets_of(campaign)]
    return call.page([call.platform.ad_set(ad_set, call.now, fields) for ad_set in ad_sets])


def read_ads(call: Call) -> dict[str, object]:
    """The ads of an account, a campaign or an ad set."""
    fields = call.fields(AD_FIELDS)
    state = call.platform.state
    within = call.found if isinstance(call.found, AdSet) else None
    campaigns = (within.campaign,) if within else _campaigns(call)
    ads = [ad for campaign in campaigns for ad in state.ads_of(campaign) if within in (None, ad.ad_set)]
    return call.page([call.platform.ad(ad, call.now, fields) for ad in ads])


def read_activities(call: Call) -> dict[str, object]:
    """The change history of an account, or of its campaign `oid`."""
    if not isinstance(call.found, Account):
        raise unknown_object(call.object_id, "GET")
    fields = parse_fields(call.parameters.get("fields"), ACTIVITY_FIELDS, ACTIVITY_FIELDS)
    campaigns = call.platform.of_account(call.found)
    if "oid" in call.parameters:
        campaigns = tuple(c for c in campaigns if c.campaign_id == call.parameters["oid"])
    until = min(call.now, _instant(call.parameters.get("until"), call.now))
    since = _instant(call.parameters.get("since"), until - timedelta(days=ACTIVITY_DAYS))
    return call.page(call.platform.activities(campaigns, since, until, fields))


def _instant(text: str | None, default: datetime) -> datetime:
    """Seconds since 1970 or an ISO date or instant; without an offset UTC."""
    if text is None:
        return default
    try:
        found = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise invalid_parameter(f"since and until must be times, not {text!r}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def write(call: Call) -> dict[str, object]:
    """A change of a campaign's budget or status."""
    if not isinstance(call.found, Campaign):
        raise invalid_parameter("budget and status are written on the campaign here, which holds the budget")
    call.platform.update(call.found, call.parameters, call.now)
    return {"success": True}


def graph_route(
    platform: Platform, path: str, handle: Callable[[Call], dict[str, object]], method: str
) -> Route:
    """A route of the Marketing API: token, version, object, quota, then `handle`; errors in Meta's shape."""

    def answer(request: Request, body: bytes) -> Response:
        try:
            parameters = {**request.query_params, **dict(parse_qsl(body.decode()))}
            if request.path_params["version"] != API_VERSION:
                raise GraphError(f"(#2635) This platform speaks {API_VERSION}; call that version.", code=2635)
            if not parameters.get("access_token"):
                raise no_token()
            object_id = request.path_params["object_id"]
            found = platform.find(object_id, method)
            account = insights.group_of(platform.state, found).account
            headers = platform.admit(account, write=method == "POST", insights=handle is read_insights)
            url = str(request.url.replace(query=""))
            return JSONResponse(
                handle(Call(platform, object_id, found, parameters, _now(request), url)), headers=headers
            )
        except GraphError as error:
            return JSONResponse(error.body(), status_code=error.status)

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request, await request.body())

    return Route(path, endpoint, methods=[method])


def _local_routes(platform: Platform) -> list[Route]:
    """The server's own routes: request counts, and changes of the world for tests and the demo."""

    async def stats(_: Request) -> Response:
        return JSONResponse(platform.quota.totals())

    async def reset(_: Request) -> Response:
        platform.reset()
        return JSONResponse({"reset": True})

    async def faults(request: Request) -> Response:
        body = await request.json()
        platform.fail_next(int(body["status"]), int(body["count"]))
        return JSONResponse(body)

    async def shift(request: Request) -> Response:
        body = await request.json()
        platform.state.shift(Shift(**{**body, "start": date.fromisoformat(body["start"])}))
        return JSONResponse(body)

    async def orders(_: Request) -> Response:
        return JSONResponse([_order(campaign) for campaign in platform.state.world.campaigns])

    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("stats", stats, "GET"),
        ("campaigns", orders, "GET"),
        ("reset", reset, "POST"),
        ("faults", faults, "POST"),
        ("shift", shift, "POST"),
    ]
    return [Route(f"/local/{name}", endpoint, methods=[method]) for name, endpoint, method in routes]


def _order(campaign: Campaign) -> dict[str, object]:
    """The targets of the account's team for a campaign; no API of Meta has them."""
    return {
        "account_id": campaign.account.account_id,
        "campaign_id": campaign.campaign_id,
        "time_zone": campaign.account.time_zone,
        "currency": campaign.account.currency,
        "target_cpa_minor": campaign.target_cpa,
        "target_roas": campaign.target_roas,
    }


def build(world: World, points: int = POINTS) -> Starlette:
    """The server's application over `world`; `points` is an account's quota in five minutes."""
    platform, edge = Platform(State(world), points), "/{version}/{object_id}"
    return Starlette(
        routes=[
            *_local_routes(platform),
            graph_route(platform, f"{edge}/insights", read_insights, "GET"),
            graph_route(platform, f"{edge}/campaigns", read_campaigns, "GET"),
            graph_route(platform, f"{edge}/adsets", read_ad_sets, "GET"),
            graph_route(platform, f"{edge}/ads", read_ads, "GET"),
            graph_route(platform, f"{edge}/activities", read_activities, "GET"),
            # the SDK ends the address of a node with a slash
            *(graph_route(platform, path, read, "GET") for path in (edge, f"{edge}/")),
            *(graph_route(platform, path, write, "POST") for path in (edge, f"{edge}/")),
        ]
    )
