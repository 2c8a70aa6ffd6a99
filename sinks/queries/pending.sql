-- What still waits for its closing outcome, the oldest first.
--
-- Parameters:
--   limit UInt32 = 1000: at most so many rows.
--
-- Columns:
--   since: when it began to wait.
--   waits_seconds: how long that is.
--   stage: stage that waits.
--   reason: what for.
--   id: id of the input.
--   topic: its logical topic.
--   partition: its partition.
--   offset: its offset.
SELECT
    recorded_at AS since,
    dateDiff('second', recorded_at, now()) AS waits_seconds,
    stage,
    reason,
    ifNull(id, '') AS id,
    topic,
    partition,
    offset
FROM dispositions
WHERE outcome = 'pending'
ORDER BY recorded_at, stage, topic, partition, offset
LIMIT {limit:UInt32}
