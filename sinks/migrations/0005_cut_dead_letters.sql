-- Says of a dead letter which parts of its record it lacks; how often it was sent again has its own name in the views.

ALTER TABLE dead_letters_raw MODIFY COLUMN `value` String CODEC(ZSTD(1)) COMMENT 'The original bytes; where value_bytes is set, their head.';

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `value_bytes` Nullable(Int64) COMMENT 'Bytes of the whole value where it is cut; else null.' AFTER `headers`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `value_sha256` Nullable(String) COMMENT 'sha256 of the whole value, in hex, where it is cut.' AFTER `value_bytes`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `key_bytes` Nullable(Int64) COMMENT 'Bytes of the whole key where it is cut; else null.' AFTER `value_sha256`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `key_sha256` Nullable(String) COMMENT 'sha256 of the whole key, in hex, where it is cut.' AFTER `key_bytes`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `dropped_headers` Nullable(Int64) COMMENT 'How many of the record\'s headers are left out; else null.' AFTER `key_sha256`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `dropped_headers_bytes` Nullable(Int64) COMMENT 'Bytes of their names and values.' AFTER `dropped_headers`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `dropped_headers_sha256` Nullable(String) COMMENT 'sha256 of lengths, names and values, in hex.' AFTER `dropped_headers_bytes`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `is_cut` Bool COMMENT 'Whether the letter lacks a part of its record.' AFTER `dropped_headers_sha256`;

ALTER TABLE dead_letters_raw ADD COLUMN IF NOT EXISTS `headers_unreadable` Bool COMMENT 'Whether nothing could read the record\'s own headers.' AFTER `is_cut`;

ALTER TABLE dead_letters_raw MODIFY COMMENT 'What a stage could not process: the original bytes as value, or their head where they do not fit; everything else in headers.';

CREATE OR REPLACE VIEW dead_letters AS
SELECT * EXCEPT (replays), replays AS redrives FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset` ORDER BY `replays` DESC, _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, or their head where they do not fit; everything else in headers. One row per stage, topic, partition, offset: the highest redrives.';

CREATE OR REPLACE VIEW dead_letters_versions AS
SELECT * EXCEPT (replays), replays AS redrives FROM dead_letters_raw
QUALIFY row_number() OVER (PARTITION BY `_topic_id`, `stage`, `topic`, `partition`, `offset`, `replays` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What a stage could not process: the original bytes as value, or their head where they do not fit; everything else in headers. One row per stage, topic, partition, offset and redrives.';
