-- Which inputs of a stage have no disposition although the stage had time.
--
-- Parameters:
--   days UInt16 = 7: how many days back, by the input's Kafka timestamp.
--   grace_seconds UInt32 = 60: how long a stage may take.
--   limit UInt32 = 1000: largest number of rows.
--
-- Columns:
--   stage: the stage.
--   topic: logical topic of the input.
--   partition: its partition.
--   offset: its offset.
--   key: its message key.
--   timestamp: its Kafka timestamp.
SELECT stage, topic, partition, offset, key, timestamp
FROM stage_inputs
WHERE (topic, topic_id) IN (SELECT topic, argMax(topic_id, inserted_at) FROM stage_inputs GROUP BY topic)
    AND timestamp >= now() - toIntervalDay({days:UInt16})
    AND timestamp < now() - toIntervalSecond({grace_seconds:UInt32})
    AND (stage, topic, partition, offset) NOT IN
    (
        SELECT stage, topic, partition, offset
        FROM dispositions
        WHERE _topic_id = (SELECT argMax(_topic_id, _inserted_at) FROM dispositions_raw)
    )
ORDER BY timestamp, stage, topic, partition, offset
LIMIT {limit:UInt32}
