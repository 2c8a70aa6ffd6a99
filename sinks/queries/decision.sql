-- Everything that is known about one decision, in order of time.
--
-- Parameters:
--   decision_id String: the decision.
--   agent String = '': its agent, if two agents share the id; empty: any.
--
-- Columns:
--   at: time of the item.
--   item: kind of record.
--   id: its id.
--   arm: replay arm or dataset arm; of a disposition or dead letter the stage.
--   status: kind, status, outcome or action.
--   detail: the most informative text.
--   topic: its logical topic.
--   partition: its partition.
--   offset: its offset.
SELECT at, item, id, arm, status, detail, topic, partition, offset
FROM
(
    SELECT
        agent, decision_id, decided_at AS at, 1 AS step, 'decision' AS item, decision_id AS id, '' AS arm,
        action_name AS status, rationale AS detail, _topic AS topic, _partition AS partition, _offset AS offset
    FROM agent_decisions
    UNION ALL
    SELECT
        agent, decision_id, given_at, 2, 'verdict', concat(verdict_id, ' r', toString(revision)), '',
        concat(kind, if(corrected_action_name IS NULL, '', concat(' to ', corrected_action_name))),
        ifNull(rationale, ''), _topic, _partition, _offset
    FROM expert_verdicts
    UNION ALL
    SELECT
        agent, decision_id, reviewed_at, 3, 'review', concat(ifNull(verdict_id, ''), ' r', ifNull(toString(revision), '')),
        '', status, ifNull(split, ''), _topic, _partition, _offset
    FROM reviews
    UNION ALL
    SELECT
        agent, decision_id, requested_at, 4, 'replay request', replay_id, arm,
        concat('strength ', toString(strength), ', sample ', toString(sample)), target_model, _topic, _partition, _offset
    FROM replay_requests
    UNION ALL
    SELECT
        agent, decision_id, finished_at, 5, 'trace', replay_id, arm,
        concat(status, if(action_name IS NULL, '', concat(': ', action_name))), coalesce(reason, rationale, ''),
        _topic, _partition, _offset
    FROM traces
    UNION ALL
    SELECT
        agent, decision_id, closed_at, 6, 'case', concat(verdict_id, ' r', toString(revision), ' #', toString(issue_number)),
        '', status, arrayStringConcat(arrayMap(a -> concat(a.arm, ': ', a.stop_reason), arms), ', '),
        _topic, _partition, _offset
    FROM cases
    UNION ALL
    SELECT
        agent, decision_id, recorded_at, 7, 'gate record', ifNull(replay_id, ''), arm, concat(gate, ': ', outcome),
        reason_code, _topic, _partition, _offset
    FROM gate_records
    UNION ALL
    SELECT
        agent, decision_id, reported_at, 8, 'gap report', concat(verdict_id, ' r', toString(revision)), '', gap_class,
        ifNull(missing_fact_json, ''), _topic, _partition, _offset
    FROM gap_reports
    UNION ALL
    SELECT
        agent, decision_id, made_at, 9, 'training example', concat('#', toString(issue_number)), arm, state,
        coalesce(withdrawn_reason, source, ''), _topic, _partition, _offset
    FROM training_examples_versions
    UNION ALL
    SELECT
        ifNull(agent, ''), ifNull(decision_id, ''), rejected_at, 10, 'rejection', ifNull(replay_id, ''), ifNull(arm, ''),
        concat(gate, ': ', reason_code), reason, _topic, _partition, _offset
    FROM rejections
    UNION ALL
    SELECT
        agent, decision_id, scored_at, 11, 'score', concat(base_model, ' / ', ifNull(tuned_model, '')), '', method,
        ifNull(toString(log_likelihood_ratio), ''), _topic, _partition, _offset
    FROM ood_scores
    UNION ALL
    SELECT
        agent, decision_id, evaluated_at, 12, 'evaluation', concat(model, ' run ', toString(run)), ifNull(arm, ''), status,
        ifNull(action_name, ''), _topic, _partition, _offset
    FROM evaluations
    UNION ALL
    SELECT
        splitByChar('/', key)[1], substring(key, position(key, '/') + 1), recorded_at, 13, 'disposition',
        concat(dispositions.topic, '[', toString(dispositions.partition), ']@', toString(dispositions.offset)),
        dispositions.stage, outcome, reason, _topic, _partition, _offset
    FROM dispositions
    INNER JOIN stage_inputs
        ON stage_inputs.stage = dispositions.stage AND stage_inputs.topic = dispositions.topic
        AND stage_inputs.partition = dispositions.partition AND stage_inputs.offset = dispositions.offset
    WHERE endsWith(key, concat('/', {decision_id:String}))
    UNION ALL
    SELECT
        splitByChar('/', _key)[1], substring(_key, position(_key, '/') + 1), first_failed_at, 14, 'dead letter',
        concat(topic, '[', toString(partition), ']@', toString(offset)), stage, error_type, error,
        _topic, _partition, _offset
    FROM dead_letters
)
WHERE decision_id = {decision_id:String} AND ({agent:String} = '' OR agent = {agent:String})
ORDER BY at, step, offset
