-- From decisions to training examples: how many records of each kind there are, each counted once.
-- step: order in the flow; what: the kind of record; detail: kind, status, arm or reason; count.
SELECT * FROM
(
    SELECT 1 AS step, 'decision' AS what, '' AS detail, count() AS count FROM agent_decisions
    UNION ALL SELECT 2, 'verdict', toString(kind), count() FROM expert_verdicts GROUP BY kind
    UNION ALL SELECT 3, 'review', toString(status), count() FROM reviews GROUP BY status
    UNION ALL SELECT 4, 'replay request', toString(arm), count() FROM replay_requests GROUP BY arm
    UNION ALL SELECT 5, 'trace', concat(arm, ' ', status), count() FROM traces GROUP BY arm, status
    UNION ALL SELECT 6, 'case', toString(status), count() FROM cases GROUP BY status
    UNION ALL SELECT 7, 'gap', toString(gap_class), count() FROM gap_reports GROUP BY gap_class
    UNION ALL SELECT 8, 'training example', concat(arm, ' ', toString(source)), count() FROM training_examples GROUP BY arm, source
    UNION ALL SELECT 9, 'rejection', concat(gate, ' ', reason_code, if(arm IS NULL, '', concat(' (', arm, ')'))), count()
              FROM rejections GROUP BY gate, reason_code, arm
    UNION ALL SELECT 10, 'dead letter', concat(stage, ' ', error_type), count() FROM dead_letters GROUP BY stage, error_type
)
ORDER BY step, count DESC, detail
