-- How many records each step of the pipeline has, in the order of the flow.
--
-- Parameters:
--   agent String = '': only this agent; empty: all.
--   days UInt16 = 30: how many days back, by each record's Kafka timestamp.
--
-- Columns:
--   step: place in the flow.
--   item: kind of record; each record counts once, however often it was sent.
--   arm: replay arm or dataset arm, if the item has one.
--   kind: kind, status or reason; of verdicts that of their highest revision, of examples source and split.
--   verdict: kind of the verdict behind an example or a rejection, if known.
--   records: number of records.
SELECT step, item, arm, kind, verdict, count() AS records
FROM
(
    SELECT 1 AS step, 'decisions' AS item, '' AS arm, '' AS kind, '' AS verdict, agent, _timestamp AS at
    FROM agent_decisions
    UNION ALL
    SELECT 2, 'verdicts', '', argMax(kind, revision), '', any(agent), min(_timestamp)
    FROM expert_verdicts
    GROUP BY verdict_id
    UNION ALL
    SELECT 3, 'reviews', '', status, '', agent, _timestamp
    FROM reviews
    UNION ALL
    SELECT 4, 'replay requests', arm, '', '', agent, _timestamp
    FROM replay_requests
    UNION ALL
    SELECT 5, 'traces', arm, status, '', agent, _timestamp
    FROM traces
    UNION ALL
    SELECT 6, 'cases', '', status, '', agent, _timestamp
    FROM cases
    UNION ALL
    SELECT 7, 'gap reports', '', gap_class, '', agent, _timestamp
    FROM gap_reports
    UNION ALL
    SELECT
        8, 'live training examples', arm, concat(ifNull(source, ''), ': ', ifNull(split, '')),
        verdict, agent, _timestamp
    FROM training_examples
    LEFT JOIN (SELECT verdict_id, revision, kind AS verdict FROM expert_verdicts) AS said USING (verdict_id, revision)
    UNION ALL
    SELECT
        9, 'rejections', ifNull(arm, ''), concat(stage, ': ', gate, '/', reason_code),
        verdict, ifNull(agent, ''), _timestamp
    FROM rejections
    LEFT JOIN (SELECT verdict_id, revision, kind AS verdict FROM expert_verdicts) AS said USING (verdict_id, revision)
    UNION ALL
    SELECT 10, 'dead letters', '', concat(stage, ': ', error_type), '', splitByChar('/', _key)[1], _timestamp
    FROM dead_letters
)
WHERE ({agent:String} = '' OR agent = {agent:String}) AND at >= now() - toIntervalDay({days:UInt16})
GROUP BY step, item, arm, kind, verdict
ORDER BY step, arm, kind, verdict
