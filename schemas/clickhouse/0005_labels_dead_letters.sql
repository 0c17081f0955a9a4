-- Labels given by people and outcomes; what was refused, with its original bytes, and what was sent again.

CREATE TABLE IF NOT EXISTS label_rows
(
    label_id UUID COMMENT 'Hash of the label event',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    record_id UUID COMMENT 'The record judged',
    head LowCardinality(String) COMMENT 'The question',
    value LowCardinality(String) COMMENT 'The right answer',
    by String COMMENT 'Who says so',
    origin LowCardinality(String) COMMENT 'person, outcome, import',
    weight Float32 COMMENT 'How much it counts when learnt',
    note String COMMENT 'Why',
    source LowCardinality(String) COMMENT 'Source of the label event',
    labelled_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    connector LowCardinality(String) COMMENT 'Connector and its version',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY label_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind labels';

CREATE VIEW IF NOT EXISTS labels
(
    label_id UUID COMMENT 'Hash of the label event',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    record_id UUID COMMENT 'The record judged',
    head LowCardinality(String) COMMENT 'The question',
    value LowCardinality(String) COMMENT 'The right answer',
    by String COMMENT 'Who says so',
    origin LowCardinality(String) COMMENT 'person, outcome, import',
    weight Float32 COMMENT 'How much it counts when learnt',
    note String COMMENT 'Why',
    source LowCardinality(String) COMMENT 'Source of the label event',
    labelled_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    connector LowCardinality(String) COMMENT 'Connector and its version'
)
AS SELECT
    label_id,
    tenant,
    record_id,
    head,
    value,
    by,
    origin,
    weight,
    note,
    source,
    labelled_at,
    connector
FROM label_rows FINAL
COMMENT 'Labels as given; the latest of a record and head is the one that holds';

CREATE TABLE IF NOT EXISTS dead_letter_rows
(
    dead_letter_id UUID COMMENT 'Hash of stage and origin: refused again, it is the same',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    stage LowCardinality(String) COMMENT 'collect, enrich, resolve, load',
    step LowCardinality(String) COMMENT 'Connector or step that refused it',
    reason_code LowCardinality(String) COMMENT 'Why, in one word',
    message String COMMENT 'What is wrong and what to do',
    failed_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    connector LowCardinality(String) COMMENT 'Connector and its version',
    locator String COMMENT 'File and item',
    topic LowCardinality(String) COMMENT 'Topic it was read from; empty at collect',
    partition Nullable(Int32) COMMENT 'Partition',
    offset Nullable(Int64) COMMENT 'Offset',
    key String COMMENT 'Original key',
    headers Map(String, String) COMMENT 'Original headers',
    payload String COMMENT 'The original bytes',
    payload_sha256 String COMMENT 'SHA-256 of the original bytes',
    payload_bytes UInt64 COMMENT 'Their number',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY dead_letter_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind dead_letters';

CREATE TABLE IF NOT EXISTS replay_rows
(
    dead_letter_id UUID COMMENT 'What was sent again',
    replayed_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    by String COMMENT 'Who did it',
    outcome LowCardinality(String) COMMENT 'accepted or refused',
    message String COMMENT 'What refused it, in its own words',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY (dead_letter_id, replayed_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The audit of replays: one row a try';

CREATE VIEW IF NOT EXISTS dead_letters
(
    dead_letter_id UUID COMMENT 'Hash of stage and origin: refused again, it is the same',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    stage LowCardinality(String) COMMENT 'collect, enrich, resolve, load',
    step LowCardinality(String) COMMENT 'Connector or step that refused it',
    reason_code LowCardinality(String) COMMENT 'Why, in one word',
    message String COMMENT 'What is wrong and what to do',
    failed_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    connector LowCardinality(String) COMMENT 'Connector and its version',
    locator String COMMENT 'File and item',
    topic LowCardinality(String) COMMENT 'Topic it was read from; empty at collect',
    partition Nullable(Int32) COMMENT 'Partition',
    offset Nullable(Int64) COMMENT 'Offset',
    key String COMMENT 'Original key',
    headers Map(String, String) COMMENT 'Original headers',
    payload String COMMENT 'The original bytes',
    payload_sha256 String COMMENT 'SHA-256 of the original bytes',
    payload_bytes UInt64 COMMENT 'Their number',
    replays UInt64 COMMENT 'How often it was sent again',
    replay_outcome LowCardinality(String) COMMENT 'accepted or refused, at the last try; empty: never tried'
)
AS SELECT
    dead_letter_id,
    tenant,
    stage,
    step,
    reason_code,
    message,
    failed_at,
    connector,
    locator,
    topic,
    partition,
    offset,
    key,
    headers,
    payload,
    payload_sha256,
    payload_bytes,
    replays,
    replay_outcome
FROM dead_letter_rows AS letter FINAL
LEFT JOIN (SELECT dead_letter_id, count() AS replays, argMax(outcome, replayed_at) AS replay_outcome FROM replay_rows FINAL GROUP BY dead_letter_id) AS tried USING (dead_letter_id)
COMMENT 'What was refused, with its original bytes';
