"""Meta's Marketing API through its own SDK: one session for each run, retries, errors a model may read.

Access tokens travel in query strings, so no address and no foreign error text leaves this module.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import requests
import stamina
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.campaign import Campaign
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookError, FacebookRequestError
from facebook_business.session import FacebookSession

from agent.ports import ToolError
from agent.settings import AdsSettings

Answer = TypeVar("Answer")

REQUEST_SECONDS = 20.0
PAGE = 500
"""Rows in one page of insights; further pages are fetched one by one."""
ATTEMPTS = 4
TOTAL_SECONDS = 25.0
TRANSIENT_CODES = {1, 2, 4, 17, 341}
"""Unknown, service, application and user limits, temporary limit
(https://developers.facebook.com/docs/graph-api/guides/error-handling)."""
THROTTLE_CODES = range(80000, 80015)
"""Limits by business use case."""


class GraphClient:
    """The calls that the media buyer makes. Not shared between threads; make one for each run."""

    def __init__(self, settings: AdsSettings, headers: Mapping[str, str] | None = None) -> None:
        self._session = session = FacebookSession(
            access_token=settings.access_token.get_secret_value(), timeout=REQUEST_SECONDS
        )
        session.GRAPH = settings.graph_url
        session.requests.headers.update(headers or {})
        self._api = FacebookAdsApi(session, api_version=settings.api_version)

    def close(self) -> None:
        """Closes the connections."""
        self._session.requests.close()

    def insights(
        self, entity_id: str, fields: list[str], parameters: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Insights rows of an account, a campaign, an ad set or an ad. Raises ToolError."""
        # the insights edge is the same for every node, so the kind of the node need not be known
        entity = (AdAccount if entity_id.startswith("act_") else Ad)(entity_id, api=self._api)
        wanted = {"limit": PAGE, **parameters}
        return _asked(
            lambda: [row.export_all_data() for row in entity.get_insights(fields=fields, params=dict(wanted))]
        )

    def account(self, account_id: str, fields: list[str]) -> dict[str, Any]:
        """The account node. Raises ToolError."""
        node = _asked(lambda: AdAccount(account_id, api=self._api).api_get(fields=fields).export_all_data())
        return dict(node)

    def campaign(self, campaign_id: str, fields: list[str]) -> dict[str, Any]:
        """The campaign node. Raises ToolError."""
        node = _asked(lambda: Campaign(campaign_id, api=self._api).api_get(fields=fields).export_all_data())
        return dict(node)

    def ad_sets(self, campaign_id: str, fields: list[str]) -> list[dict[str, Any]]:
        """The campaign's ad sets. Raises ToolError."""
        campaign = Campaign(campaign_id, api=self._api)
        return _asked(lambda: [one.export_all_data() for one in campaign.get_ad_sets(fields=fields)])

    def ads(self, campaign_id: str, fields: list[str]) -> list[dict[str, Any]]:
        """The campaign's ads. Raises ToolError."""
        campaign = Campaign(campaign_id, api=self._api)
        return _asked(lambda: [one.export_all_data() for one in campaign.get_ads(fields=fields)])

    def activities(
        self, account_id: str, campaign_id: str, times: tuple[datetime, datetime], fields: list[str]
    ) -> list[dict[str, Any]]:
        """The campaign's change history between two instants, the latest first. Raises ToolError."""
        since, until = (int(instant.timestamp()) for instant in times)
        wanted = {"oid": campaign_id, "since": since, "until": until}
        account = AdAccount(account_id, api=self._api)
        return _asked(
            lambda: [
                one.export_all_data() for one in account.get_activities(fields=fields, params=dict(wanted))
            ]
        )

    def update_campaign(self, campaign_id: str, values: Mapping[str, Any]) -> None:
        """Change the campaign. The values are absolute, so a repeated call changes nothing more.

        Raises ToolError.
        """
        _asked(lambda: Campaign(campaign_id, api=self._api).api_update(params=dict(values)))


def _asked(call: Callable[[], Answer]) -> Answer:
    try:
        for attempt in stamina.retry_context(
            on=_is_transient, attempts=ATTEMPTS, timeout=TOTAL_SECONDS, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                return call()
    except FacebookRequestError as error:
        raise ToolError(_words(error)) from None
    except requests.RequestException as error:
        raise ToolError(f"the ads platform cannot be reached ({type(error).__name__})") from None
    except FacebookError as error:
        raise ToolError(f"the ads platform's library refused the call ({type(error).__name__})") from None
    raise AssertionError("stamina ended without a result or an error")


def _is_transient(error: Exception) -> bool:
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return True
    if not isinstance(error, FacebookRequestError):
        return False
    code = error.api_error_code()
    return bool(error.api_transient_error()) or code in TRANSIENT_CODES or code in THROTTLE_CODES


def _words(error: FacebookRequestError) -> str:
    message = error.api_error_message() or f"HTTP {error.http_status()}"
    subcode = error.api_error_subcode()
    return f"{message} (code {error.api_error_code()}{f', subcode {subcode}' if subcode else ''})"
