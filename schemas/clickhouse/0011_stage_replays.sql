-- Replays of stages: who set which stage to another offset, and when.

CREATE TABLE IF NOT EXISTS stage_replay_rows
(
    replay_id UUID COMMENT 'One a partition and replay',
    replayed_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    by String COMMENT 'Who',
    stage LowCardinality(String) COMMENT 'The stage whose offsets were set',
    topic LowCardinality(String) COMMENT 'Topic',
    partition Int32 COMMENT 'Partition',
    from_offset Int64 COMMENT 'The next offset before',
    to_offset Int64 COMMENT 'The next offset since; smaller: what lies between is handled again',
    asked String COMMENT 'What was asked for: from when, or which offsets',
    version UInt64 COMMENT 'Newer replaces older'
)
ENGINE = ReplacingMergeTree(version) ORDER BY replay_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The audit of replays of stages, versions included: read the view stage_replays';

CREATE VIEW IF NOT EXISTS stage_replays
(
    replay_id UUID COMMENT 'One a partition and replay',
    replayed_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    by String COMMENT 'Who',
    stage LowCardinality(String) COMMENT 'The stage whose offsets were set',
    topic LowCardinality(String) COMMENT 'Topic',
    partition Int32 COMMENT 'Partition',
    from_offset Int64 COMMENT 'The next offset before',
    to_offset Int64 COMMENT 'The next offset since; smaller: what lies between is handled again',
    asked String COMMENT 'What was asked for: from when, or which offsets'
)
AS SELECT replay_id, replayed_at, by, stage, topic, partition, from_offset, to_offset, asked
FROM stage_replay_rows FINAL
COMMENT 'Who set which stage back, and when';
