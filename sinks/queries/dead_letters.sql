-- How many dead letters there are, by stage, topic and error.
--
-- Parameters:
--   days UInt16 = 30: how many days back, by the time of the first failure.
--
-- Columns:
--   stage: stage that could not process the records.
--   topic: logical topic of the records.
--   error_type: short stable code of the error.
--   records: number of records; one that failed again after a redrive counts once.
--   sent_again: number of them that were redriven before.
--   cut: number of them that did not fit into a dead letter, which has only their head.
--   first_at: the oldest failure.
--   last_at: the latest failure.
--   example: coordinates of the latest one, topic[partition]@offset.
--   example_error: its error.
SELECT
    stage,
    topic,
    error_type,
    count() AS records,
    countIf(redrives > 0) AS sent_again,
    countIf(is_cut) AS cut,
    min(first_failed_at) AS first_at,
    max(first_failed_at) AS last_at,
    argMax(concat(topic, '[', toString(partition), ']@', toString(offset)), (first_failed_at, offset)) AS example,
    argMax(error, (first_failed_at, offset)) AS example_error
FROM dead_letters
WHERE first_failed_at >= now() - toIntervalDay({days:UInt16})
GROUP BY stage, topic, error_type
ORDER BY records DESC, stage, topic, error_type
