-- Labels given by people and outcomes; what was refused, with its original bytes, and what was sent again.

{{ table("label_rows") }}

{{ view("labels") }}

{{ table("dead_letter_rows") }}

{{ table("replay_rows") }}

CREATE VIEW IF NOT EXISTS dead_letters
{{ columns("dead_letters") }}
AS {{ select("dead_letters") }}
FROM dead_letter_rows AS letter FINAL
LEFT JOIN (SELECT dead_letter_id, count() AS replays, argMax(outcome, replayed_at) AS replay_outcome FROM replay_rows FINAL GROUP BY dead_letter_id) AS tried USING (dead_letter_id)
{{ comment("dead_letters") }};
