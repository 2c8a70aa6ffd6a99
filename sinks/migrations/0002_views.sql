-- Views by identity: what readers use.

CREATE OR REPLACE VIEW agent_artifacts AS
SELECT * FROM agent_artifacts_raw
QUALIFY row_number() OVER (PARTITION BY `artifact_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'System prompts, tool declarations and AgentSpecs by content hash. One row per artifact_id.';

CREATE OR REPLACE VIEW agent_decisions AS
SELECT * FROM agent_decisions_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Decisions of the production agent, whole. One row per agent, decision_id.';

CREATE OR REPLACE VIEW expert_verdicts AS
SELECT * FROM expert_verdicts_raw
QUALIFY row_number() OVER (PARTITION BY `verdict_id`, `revision` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What experts said of decisions; a later revision supersedes. One row per verdict_id, revision.';

CREATE OR REPLACE VIEW alerts AS
SELECT * FROM alerts_raw
QUALIFY row_number() OVER (PARTITION BY `fingerprint`, `state`, `starts_at` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Changes of state of alerts. One row per fingerprint, state, starts_at.';

CREATE OR REPLACE VIEW cases AS
SELECT * FROM cases_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `verdict_id`, `revision`, `round`, `issue_number` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Everything the sanitizer needs about one reviewed decision. One row per agent, decision_id, verdict_id, revision, round, issue_number.';

CREATE OR REPLACE VIEW dead_letters AS
SELECT * FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset` ORDER BY `replays` DESC, _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, everything else in headers. One row per stage, topic, partition, offset: the highest replays.';

CREATE OR REPLACE VIEW dead_letters_versions AS
SELECT * FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset`, `replays` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, everything else in headers. One row per stage, topic, partition, offset and replays.';

CREATE OR REPLACE VIEW dispositions AS
SELECT * FROM dispositions_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset` ORDER BY outcome = 'pending', _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What became of each input at each stage. One row per stage, topic, partition, offset.';

CREATE OR REPLACE VIEW drift_references AS
SELECT * FROM drift_references_raw
QUALIFY row_number() OVER (PARTITION BY `reference_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Frozen references of the drift monitor. One row per reference_id.';

CREATE OR REPLACE VIEW eval_sets AS
SELECT * FROM eval_sets_raw
QUALIFY row_number() OVER (PARTITION BY `eval_set_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Frozen sets of held-out prompts. One row per eval_set_id.';

CREATE OR REPLACE VIEW evaluations AS
SELECT * FROM evaluations_raw
QUALIFY row_number() OVER (PARTITION BY `eval_item_id`, `model`, `run` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Runs of models on held-out prompts. One row per eval_item_id, model, run.';

CREATE OR REPLACE VIEW exports AS
SELECT * FROM exports_raw
QUALIFY row_number() OVER (PARTITION BY `export_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Training sets that were taken out. One row per export_id.';

CREATE OR REPLACE VIEW gap_reports AS
SELECT * FROM gap_reports_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `verdict_id`, `revision`, `round` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'The gap class of each corrected verdict. One row per agent, decision_id, verdict_id, revision, round.';

CREATE OR REPLACE VIEW gate_records AS
SELECT * FROM gate_records_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `verdict_id`, `revision`, `round`, `arm`, `replay_id`, `gate`, `gate_set` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'One record per decision of a gate. One row per agent, decision_id, verdict_id, revision, round, arm, replay_id, gate, gate_set.';

CREATE OR REPLACE VIEW models AS
SELECT * FROM models_raw
QUALIFY row_number() OVER (PARTITION BY `job_id`, `state` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'States of tuning jobs. One row per job_id, state.';

CREATE OR REPLACE VIEW ood_scores AS
SELECT * FROM ood_scores_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `base_model`, `tuned_model`, `method` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Scores of production decisions under pairs of models. One row per agent, decision_id, base_model, tuned_model, method.';

CREATE OR REPLACE VIEW rejections AS
SELECT * FROM rejections_raw
QUALIFY row_number() OVER (PARTITION BY `stage`, `gate`, `reason_code`, `arm`, `replay_id`, `agent`, `decision_id`, `verdict_id`, `revision` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What stages refused, by which gate, and why. One row per stage, gate, reason_code, arm, replay_id, agent, decision_id, verdict_id, revision.';

CREATE OR REPLACE VIEW replay_requests AS
SELECT * FROM replay_requests_raw
QUALIFY row_number() OVER (PARTITION BY `replay_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Model runs that reviews need. One row per replay_id.';

CREATE OR REPLACE VIEW reviews AS
SELECT * FROM reviews_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `verdict_id`, `revision`, `status` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Decisions joined with the verdict that counts, or what is missing of the pair. One row per agent, decision_id, verdict_id, revision, status.';

CREATE OR REPLACE VIEW traces AS
SELECT * FROM traces_raw
QUALIFY row_number() OVER (PARTITION BY `replay_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Runs of the agent; of two with one replay_id the one with the lower offset counts. One row per replay_id.';

CREATE OR REPLACE VIEW training_examples AS
SELECT * FROM
(
SELECT * FROM training_examples_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `arm` ORDER BY `issue_number` DESC, _offset, _partition, _topic_id, _inserted_at DESC) = 1
)
WHERE state = 'live'
COMMENT 'Training rows and their withdrawals; the highest issue number is live. One row per agent, decision_id, arm: the highest issue_number, where live.';

CREATE OR REPLACE VIEW training_examples_versions AS
SELECT * FROM training_examples_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `arm`, `issue_number` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Training rows and their withdrawals; the highest issue number is live. One row per agent, decision_id, arm and issue_number.';

CREATE OR REPLACE VIEW stage_inputs AS
SELECT * FROM
(
    SELECT 'join' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM agent_decisions_raw
    UNION ALL
    SELECT 'join' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM expert_verdicts_raw
    UNION ALL
    SELECT 'trigger' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM reviews_raw
    UNION ALL
    SELECT 'trigger' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM traces_raw
    UNION ALL
    SELECT 'replay' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM replay_requests_raw
    UNION ALL
    SELECT 'sanitize' AS stage, _topic AS topic, _topic_id AS topic_id, _partition AS partition, _offset AS offset, _key AS key, _timestamp AS timestamp, _inserted_at AS inserted_at
    FROM cases_raw
    UNION ALL
    SELECT 'join', topic, toUUIDOrZero(headers['dlq.topic_id']), partition, offset, _key, timestamp, _inserted_at
    FROM dead_letters_raw WHERE stage = 'sink' AND topic IN ('agent.decisions', 'expert.verdicts')
    UNION ALL
    SELECT 'trigger', topic, toUUIDOrZero(headers['dlq.topic_id']), partition, offset, _key, timestamp, _inserted_at
    FROM dead_letters_raw WHERE stage = 'sink' AND topic IN ('opoi.reviews', 'opoi.traces')
    UNION ALL
    SELECT 'replay', topic, toUUIDOrZero(headers['dlq.topic_id']), partition, offset, _key, timestamp, _inserted_at
    FROM dead_letters_raw WHERE stage = 'sink' AND topic IN ('opoi.replay-requests')
    UNION ALL
    SELECT 'sanitize', topic, toUUIDOrZero(headers['dlq.topic_id']), partition, offset, _key, timestamp, _inserted_at
    FROM dead_letters_raw WHERE stage = 'sink' AND topic IN ('opoi.cases')
)
QUALIFY row_number() OVER (PARTITION BY stage, topic, topic_id, partition, offset ORDER BY inserted_at DESC) = 1
COMMENT 'What each stage was given. One row per stage and Kafka coordinate.';
