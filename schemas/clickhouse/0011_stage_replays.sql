-- Replays of stages: who set which stage to another offset, and when.

{{ table("stage_replay_rows") }}

CREATE VIEW IF NOT EXISTS stage_replays
{{ columns("stage_replays") }}
AS SELECT replay_id, replayed_at, by, stage, topic, partition, from_offset, to_offset, asked
FROM stage_replay_rows FINAL
{{ comment("stage_replays") }};
