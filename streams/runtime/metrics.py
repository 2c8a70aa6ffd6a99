"""Names of the metrics that workers serve to Prometheus."""

from prometheus_client import Counter, Gauge

EVENTS = Counter("opoi_events_total", "Records that a stage finished.", ["stage", "topic"])
OUTPUTS = Counter("opoi_outputs_total", "Records that a stage wrote.", ["stage", "topic"])
DEAD_LETTERS = Counter("opoi_dead_letters_total", "Records put into the dead letters.", ["stage", "kind"])
TOO_LARGE = Counter("opoi_too_large_total", "Outputs over their topic's limit.", ["stage", "topic"])
LEFT_OUT = Counter(
    "opoi_left_out_records_total",
    "Records left out of a topic that workers read whole, since nothing can be made of them.",
    ["topic", "kind"],
)
REDELIVERED = Counter(
    "opoi_redelivered_total", "Records that came again after they were finished.", ["stage"]
)
HELD_TICKS = Counter(
    "opoi_held_ticks_total",
    "Ticks that fired no deadline, since sources were not read up to them.",
    ["stage"],
)
DEADLINES = Counter("opoi_deadlines_total", "Deadlines that fired.", ["stage"])
QUARANTINED_DEADLINES = Counter(
    "opoi_quarantined_deadlines_total",
    "Deadlines left alone: they killed the process or gave what does not fit.",
    ["stage"],
)
WAITS = Counter("opoi_waits_total", "Times a stage waited in place for something unreachable.", ["stage"])
EXITS = Counter(
    "opoi_worker_exits_total",
    "How workers ended, kept over restarts: produce_failed, contiguity (the guard fired), watchdog, ...",
    ["stage", "reason"],
)
RETENTION_LOSSES = Counter(
    "opoi_retention_lost_offsets_total", "Offsets that the broker deleted before they were read."
)
ASSIGNED_PARTITIONS = Gauge("opoi_assigned_partitions", "Source partitions of this worker.", ["stage"])
