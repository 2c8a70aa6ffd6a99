-- Whether every input of a stage is accounted for: inputs against their dispositions.
--
-- An input without a disposition is missing once it is older than the grace; `missing` lists such inputs.
-- Ticks and artifacts are not accounted for.
--
-- Parameters:
--   days UInt16 = 7: how many days back, by the input's Kafka timestamp.
--   grace_seconds UInt32 = 60: how long a stage may take before its input counts as missing.
--
-- Columns:
--   stage: the stage.
--   topic: logical topic of the inputs.
--   inputs: number of inputs.
--   emitted: inputs that led to records.
--   duplicate: inputs that the stage had already.
--   superseded: inputs that a newer one replaced.
--   expired: inputs that waited for their other half in vain.
--   rejected: inputs that a rule or gate refused.
--   withdrawn: inputs that were retracted.
--   dead: inputs in the dead letters.
--   pending: inputs that still wait for their closing outcome.
--   in_work: inputs without a disposition, within the grace.
--   missing: inputs without a disposition, past the grace.
--   oldest_missing: Kafka timestamp of the oldest missing one.
WITH
    -- if the broker was created again, only its present topics
    inputs AS
    (
        SELECT *
        FROM stage_inputs
        WHERE (topic, topic_id) IN (SELECT topic, argMax(topic_id, inserted_at) FROM stage_inputs GROUP BY topic)
            AND timestamp >= now() - toIntervalDay({days:UInt16})
    ),
    outcomes AS
    (
        SELECT stage, topic, partition, offset, outcome
        FROM dispositions
        WHERE _topic_id = (SELECT argMax(_topic_id, _inserted_at) FROM dispositions_raw)
    )
SELECT
    inputs.stage AS stage,
    inputs.topic AS topic,
    count() AS inputs,
    countIf(outcome = 'emitted') AS emitted,
    countIf(outcome = 'duplicate') AS duplicate,
    countIf(outcome = 'superseded') AS superseded,
    countIf(outcome = 'expired') AS expired,
    countIf(outcome = 'rejected') AS rejected,
    countIf(outcome = 'withdrawn') AS withdrawn,
    countIf(outcome = 'dead') AS dead,
    countIf(outcome = 'pending') AS pending,
    countIf(outcome = '' AND timestamp >= now() - toIntervalSecond({grace_seconds:UInt32})) AS in_work,
    countIf(outcome = '' AND timestamp < now() - toIntervalSecond({grace_seconds:UInt32})) AS missing,
    minOrNullIf(timestamp, outcome = '' AND timestamp < now() - toIntervalSecond({grace_seconds:UInt32})) AS oldest_missing
FROM inputs
LEFT JOIN outcomes
    ON inputs.stage = outcomes.stage AND inputs.topic = outcomes.topic
    AND inputs.partition = outcomes.partition AND inputs.offset = outcomes.offset
GROUP BY stage, topic
ORDER BY stage, topic
