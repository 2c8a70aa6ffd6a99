"""Metrics of workers that run models; those of every worker are in `streams.runtime.metrics`."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

IN_FLIGHT = Gauge("opoi_replays_in_flight", "Replays that started and are not committed.")
REPLAY_SECONDS = Histogram(
    "opoi_replay_seconds",
    "Seconds of a replay, without tries that found the model unreachable.",
    ["status"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200),
)
REPLAYS_AWAY = Counter(
    "opoi_replay_retries_total", "Tries of replays that found a service unreachable.", ["error"]
)
PAUSED = Gauge("opoi_replay_paused", "1 while an operator has paused replays.")
AWAY = Gauge(
    "opoi_replay_away",
    "1 while a service that replays need is unreachable: model, registry, artifacts, or agent:NAME.",
    ["what"],
)
WAITING = Gauge("opoi_replays_waiting", "Replays of this worker that wait for an unreachable service.")
UNCOMMITTED_SECONDS = Gauge(
    "opoi_replay_uncommitted_seconds",
    "Age in seconds of the oldest replay that started and is not committed.",
)


def setter_of(what: str) -> Callable[[bool], None]:
    """A function that sets the gauge of `what`."""
    gauge = AWAY.labels(what)
    return lambda is_away: gauge.set(is_away)
