-- Which inputs still wait for their closing disposition, the oldest first.
--
-- Parameters:
--   limit UInt32 = 1000: largest number of rows.
--
-- Columns:
--   since: start of the wait.
--   waits_seconds: seconds since then.
--   stage: stage that waits.
--   reason: what the input waits for.
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
