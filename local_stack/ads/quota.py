"""Request counts for tests, and the throttle that Meta's usage headers describe."""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

WINDOW_SECONDS = 300.0
READ_POINTS = 1
WRITE_POINTS = 3


class Quota:
    """Points per account over five minutes, and totals since the start; safe to use from many threads."""

    def __init__(self, points: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._points = points
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, deque[tuple[float, int]]] = {}
        self._totals: Counter[str] = Counter()

    def take(self, account_id: str, *, write: bool) -> int | None:
        """Count one request; the used share in percent, or None if the quota is used up."""
        now, cost = self._clock(), WRITE_POINTS if write else READ_POINTS
        with self._lock:
            self._totals["writes" if write else "reads"] += 1
            used = self._used.setdefault(account_id, deque())
            while used and used[0][0] <= now - WINDOW_SECONDS:
                used.popleft()
            spent = sum(points for _, points in used)
            if spent + cost > self._points:
                self._totals["throttled"] += 1
                return None
            used.append((now, cost))
            return 100 * (spent + cost) // self._points

    def totals(self) -> dict[str, int]:
        """Requests since the start or the last reset: reads, writes, throttled."""
        with self._lock:
            return {name: self._totals[name] for name in ("reads", "writes", "throttled")}

    def reset(self) -> None:
        """Reset the counts."""
        with self._lock:
            self._totals.clear()
            self._used.clear()


def headers(account_id: str, used: int, *, insights: bool = False) -> dict[str, str]:
    """Meta's usage headers for an account that has used `used` percent."""
    usage: dict[str, object] = {
        "type": "ads_insights" if insights else "ads_management",
        "call_count": used,
        "total_cputime": used,
        "total_time": used,
    }
    usage |= {"estimated_time_to_regain_access": 0, "ads_api_access_tier": "standard_access"}
    throttle: dict[str, object] = {"app_id_util_pct": float(used), "acc_id_util_pct": float(used)}
    throttle |= {"ads_api_access_tier": "standard_access"}
    return {
        "X-Business-Use-Case-Usage": json.dumps({account_id.removeprefix("act_"): [usage]}),
        "X-FB-Ads-Insights-Throttle": json.dumps(throttle),
    }
