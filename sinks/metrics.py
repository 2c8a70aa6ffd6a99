"""Metrics of the sink; names and meanings."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("opoi_sink_rows_total", "Rows landed in ClickHouse.", ["table"])
INSERT_SECONDS = Histogram(
    "opoi_sink_insert_seconds",
    "Time of one insert.",
    ["table"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
REFUSED = Counter("opoi_sink_refused_rows_total", "Rows that ClickHouse refused, one by one.", ["table"])
TOMBSTONES = Counter(
    "opoi_sink_tombstones_total", "Deletions in compacted topics; they are not landed.", ["topic"]
)
UNKNOWN_FIELDS = Gauge(
    "opoi_sink_unknown_fields",
    "Fields of a writer's schema that this version has no column for: what they hold is not landed.",
    ["topic", "schema_id"],
)
AWAY = Gauge("opoi_sink_away", "1 while a service that the sink needs does not answer.", ["what"])
BEHIND_SECONDS = Gauge("opoi_sink_behind_seconds", "Age of the oldest record in hand that is not landed yet.")
COMMITTED = Gauge("opoi_sink_committed_timestamp_seconds", "When offsets were last committed, Unix seconds.")
