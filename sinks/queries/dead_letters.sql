-- What lies in the dead letters, by stage, topic and error.
--
-- Parameters:
--   days UInt16 = 30: how many days back, by the time of the first failure.
--
-- Columns:
--   stage: stage that gave the records up.
--   topic: logical topic that they stood in.
--   error_type: short stable code of the error.
--   records: how many; one that failed again after it was sent again counts once.
--   sent_again: how many of them were sent again before.
--   cut: how many of them did not fit into a letter, which holds their head.
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
