-- How many rejections there are, by stage, gate, reason and arm.
--
-- Parameters:
--   agent String = '': only this agent; empty: all.
--   days UInt16 = 30: how many days back, by the time of the rejection.
--
-- Columns:
--   stage: stage that rejected.
--   gate: gate or rule.
--   reason_code: short stable code.
--   arm: the arm, if one was rejected.
--   records: number of rejections.
--   share: share of all rejections of that stage.
--   last_at: time of the latest one.
--   example_decision: decision of the latest one.
--   example_reason: its reason.
SELECT
    stage,
    gate,
    reason_code,
    ifNull(arm, '') AS arm,
    count() AS records,
    round(records / sum(records) OVER (PARTITION BY stage), 4) AS share,
    max(rejected_at) AS last_at,
    argMax(ifNull(decision_id, ''), (rejected_at, _offset)) AS example_decision,
    argMax(reason, (rejected_at, _offset)) AS example_reason
FROM rejections
WHERE ({agent:String} = '' OR agent = {agent:String}) AND rejected_at >= now() - toIntervalDay({days:UInt16})
GROUP BY stage, gate, reason_code, arm
ORDER BY stage, records DESC, gate, reason_code, arm
