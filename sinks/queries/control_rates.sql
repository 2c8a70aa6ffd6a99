-- How often each replay arm reached the expert's action in the control sample; compare rates only here.
--
-- Parameters:
--   agent String = '': only this agent; empty: all.
--   days UInt16 = 30: how many days back, by the time at which the case closed.
--
-- Columns:
--   agent: name of the agent.
--   arm: replay arm; `redecision` gives q, the oracle of `wrong_oracle` names another action than the expert's.
--   strength: oracle strength, 0 for none; a redecision has that of the run that it continues.
--   cases: control cases with such a run.
--   runs: runs that ended with a decision and without a miss.
--   hits: number of these runs that reached the expert's action.
--   hit_rate: hits divided by runs; empty without runs.
--   hit_rate_low: lower end of its 95% Wilson interval over runs; runs of one case are not independent.
--   hit_rate_high: upper end of that interval.
--   followed: runs that reached the action that their oracle named.
--   missed: runs with a miss, which do not count.
WITH
    3.8414588 AS z2,
    tried AS
    (
        SELECT agent, decision_id, a.arm AS arm, arrayJoin(a.tries) AS t
        FROM cases
        ARRAY JOIN arms AS a
        WHERE control_sample AND status != 'withdrawn' AND ({agent:String} = '' OR agent = {agent:String})
            AND closed_at >= now() - toIntervalDay({days:UInt16})
    )
SELECT
    agent,
    arm,
    t.strength AS strength,
    uniqExact(decision_id) AS cases,
    countIf(t.status = 'completed' AND t.misses = 0) AS runs,
    countIf(t.status = 'completed' AND t.misses = 0 AND t.hit) AS hits,
    if(runs = 0, NULL, round(hits / runs, 4)) AS hit_rate,
    if(runs = 0, NULL, round((hits + z2 / 2 - sqrt(z2 * (hits * (runs - hits) / runs + z2 / 4))) / (runs + z2), 4))
        AS hit_rate_low,
    if(runs = 0, NULL, round((hits + z2 / 2 + sqrt(z2 * (hits * (runs - hits) / runs + z2 / 4))) / (runs + z2), 4))
        AS hit_rate_high,
    countIf(t.status = 'completed' AND t.misses = 0 AND t.followed) AS followed,
    countIf(t.misses > 0) AS missed
FROM tried
GROUP BY agent, arm, strength
ORDER BY agent, arm, strength
