-- What live raises while things happen: spikes and changes of level, with their evidence.

CREATE TABLE IF NOT EXISTS alert_rows
(
    alert_id UUID COMMENT 'Hash of tenant, kind, measure and the minute it was raised: told again, it is the same',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    kind LowCardinality(String) COMMENT 'spike: within minutes; level: the last hour differs from the day before it',
    measure LowCardinality(String) COMMENT 'What is counted: head:label, business:kind.action, or inbound for the number of messages',
    measures Array(LowCardinality(String)) COMMENT 'All that rose with it, from the same customers; the strongest first',
    channel LowCardinality(String) COMMENT 'The channel that brought most of it',
    raised_at DateTime64(3, 'UTC') COMMENT 'When it was first seen, UTC',
    last_at DateTime64(3, 'UTC') COMMENT 'When it was last seen, UTC',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was seen to be over, UTC; null: it is not',
    window_s UInt32 COMMENT 'Seconds over which was counted',
    seen UInt64 COMMENT 'How many were counted, at the highest',
    of UInt64 COMMENT 'Among how many messages, or business events',
    expected Float64 COMMENT 'How many the day before lets expect among as many',
    surprise Float64 COMMENT 'Powers of ten by which chance alone is unlikely to give so many',
    evidence Array(UUID) COMMENT 'Some of the records, each of another customer',
    message String COMMENT 'The same in words',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY alert_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind alerts';

CREATE VIEW IF NOT EXISTS alerts
(
    alert_id UUID COMMENT 'Hash of tenant, kind, measure and the minute it was raised',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    kind LowCardinality(String) COMMENT 'spike: within minutes; level: the last hour differs from the day before it',
    measure LowCardinality(String) COMMENT 'What is counted: head:label, business:kind.action, or inbound for the number of messages',
    measures Array(LowCardinality(String)) COMMENT 'All that rose with it, from the same customers; the strongest first',
    channel LowCardinality(String) COMMENT 'The channel that brought most of it',
    raised_at DateTime64(3, 'UTC') COMMENT 'When it was first seen, UTC',
    last_at DateTime64(3, 'UTC') COMMENT 'When it was last seen, UTC',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was seen to be over, UTC; null: it is not',
    window_s UInt32 COMMENT 'Seconds over which was counted',
    seen UInt64 COMMENT 'How many were counted, at the highest',
    of UInt64 COMMENT 'Among how many messages, or business events',
    expected Float64 COMMENT 'How many the day before lets expect among as many',
    surprise Float64 COMMENT 'Powers of ten by which chance alone is unlikely to give so many',
    evidence Array(UUID) COMMENT 'Some of the records, each of another customer',
    message String COMMENT 'The same in words'
)
AS SELECT
    alert_id,
    tenant,
    kind,
    measure,
    measures,
    channel,
    raised_at,
    last_at,
    ended_at,
    window_s,
    seen,
    of,
    expected,
    surprise,
    evidence,
    message
FROM alert_rows FINAL
COMMENT 'What live raised: spikes and changes of level, with their evidence';
