-- Says what the headers of a landed dead letter cannot hold.

ALTER TABLE dead_letters_raw MODIFY COLUMN `headers` Map(String, String) CODEC(ZSTD(1)) COMMENT 'Headers: of a repeated name the last value, a null one as empty; the topic has them all.';

CREATE OR REPLACE VIEW dead_letters AS
SELECT * FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset` ORDER BY `replays` DESC, _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, everything else in headers. One row per stage, topic, partition, offset: the highest replays.';

CREATE OR REPLACE VIEW dead_letters_versions AS
SELECT * FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset`, `replays` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, everything else in headers. One row per stage, topic, partition, offset and replays.';
