"""Metrics that workers serve to Prometheus."""

from prometheus_client import Counter, Gauge

EVENTS = Counter("opoi_events_total", "Records that a stage finished.", ["stage", "topic"])
OUTPUTS = Counter("opoi_outputs_total", "Records that a stage wrote.", ["stage", "topic"])
DEAD_LETTERS = Counter("opoi_dead_letters_total", "Records sent to dead letters.", ["stage", "kind"])
TOO_LARGE = Counter("opoi_too_large_total", "Outputs above the limit of their topic.", ["stage", "topic"])
LEFT_OUT = Counter(
    "opoi_left_out_records_total",
    "Unusable records, left out of a topic that workers read whole.",
    ["topic", "kind"],
)
REDELIVERED = Counter(
    "opoi_redelivered_total", "Records that were delivered again after they were finished.", ["stage"]
)
HELD_TICKS = Counter(
    "opoi_held_ticks_total",
    "Ticks that fired no deadline, because the stage had not read its sources up to them.",
    ["stage"],
)
DEADLINES = Counter("opoi_deadlines_total", "Deadlines that fired.", ["stage"])
QUARANTINED_DEADLINES = Counter(
    "opoi_quarantined_deadlines_total",
    "Quarantined deadlines: they killed the process, or their outputs do not fit their topics.",
    ["stage"],
)
WAITS = Counter("opoi_waits_total", "Waits of a stage for an unreachable service, record in hand.", ["stage"])
EXITS = Counter(
    "opoi_worker_exits_total",
    "Exits of workers, kept over restarts: produce_failed, contiguity (the guard fired), watchdog, ...",
    ["stage", "reason"],
)
RETENTION_LOSSES = Counter(
    "opoi_retention_lost_offsets_total", "Offsets that the broker deleted before they were read."
)
ASSIGNED_PARTITIONS = Gauge("opoi_assigned_partitions", "Source partitions of this worker.", ["stage"])
