-- Is everything that came in accounted for? One row per stage: its inputs by what became of them.
-- Every input has a disposition: inputs = the sum of the outcomes + missing. `pending` waits for
-- something (a verdict, traces, an adjudication); `missing` has no disposition yet.
-- Ticks are the clock of a stage, not inputs. Undecodable inputs count through their dead letters.
WITH
    sources AS
    (
        SELECT arrayJoin([
            ('join', 'agent.decisions'), ('join', 'expert.verdicts'),
            ('trigger', 'opoi.reviews'), ('trigger', 'opoi.traces'),
            ('replay', 'opoi.replay-requests'),
            ('sanitize', 'opoi.cases')
        ]) AS source, source.1 AS stage, source.2 AS topic
    ),
    places AS
    (
        SELECT _topic AS topic, _partition AS partition, _offset AS offset FROM agent_decisions_raw
        UNION DISTINCT SELECT _topic, _partition, _offset FROM expert_verdicts_raw
        UNION DISTINCT SELECT _topic, _partition, _offset FROM reviews_raw
        UNION DISTINCT SELECT _topic, _partition, _offset FROM traces_raw
        UNION DISTINCT SELECT _topic, _partition, _offset FROM replay_requests_raw
        UNION DISTINCT SELECT _topic, _partition, _offset FROM cases_raw
        UNION DISTINCT SELECT topic, partition, offset FROM dead_letters_raw
    ),
    inputs AS
    (
        SELECT sources.stage AS stage, topic, partition, offset
        FROM places INNER JOIN sources USING (topic)
    )
SELECT
    stage,
    count() AS inputs,
    countIf(outcome = 'emitted') AS emitted,
    countIf(outcome = 'duplicate') AS duplicate,
    countIf(outcome = 'superseded') AS superseded,
    countIf(outcome = 'expired') AS expired,
    countIf(outcome = 'rejected') AS rejected,
    countIf(outcome = 'withdrawn') AS withdrawn,
    countIf(outcome = 'dead') AS dead,
    countIf(outcome = 'pending') AS pending,
    countIf(outcome = '') AS missing
FROM inputs
LEFT JOIN (SELECT stage, topic, partition, offset, toString(outcome) AS outcome FROM dispositions) AS said
    USING (stage, topic, partition, offset)
GROUP BY stage
ORDER BY indexOf(['join', 'trigger', 'replay', 'sanitize'], stage)
