"""Metrics of the sink."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("opoi_sink_rows_total", "Rows landed in ClickHouse.", ["table"])
INSERT_SECONDS = Histogram(
    "opoi_sink_insert_seconds",
    "Seconds of one insert.",
    ["table"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
REFUSED = Counter("opoi_sink_refused_rows_total", "Rows that ClickHouse refused one by one.", ["table"])
TOMBSTONES = Counter(
    "opoi_sink_tombstones_total", "Deletions in compacted topics; the sink does not land them.", ["topic"]
)
UNKNOWN_FIELDS = Gauge(
    "opoi_sink_unknown_fields",
    "Fields of a writer's schema without a column in this version; their values are not landed.",
    ["topic", "schema_id"],
)
AWAY = Gauge("opoi_sink_away", "1 while a service that the sink needs is unreachable.", ["what"])
BEHIND_SECONDS = Gauge(
    "opoi_sink_behind_seconds", "Age in seconds of the oldest record in hand that is not landed yet."
)
COMMITTED = Gauge(
    "opoi_sink_committed_timestamp_seconds", "Time of the last commit of offsets, Unix seconds."
)
