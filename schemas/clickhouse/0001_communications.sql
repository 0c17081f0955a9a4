-- Communications: one row a record, read through the view; a replayed or corrected record replaces its row.

{{ table("communication_rows") }}

{{ table("delivery_rows") }}

CREATE VIEW IF NOT EXISTS repeats
{{ columns("repeats") }}
AS SELECT
    record_id,
    count() AS deliveries,
    uniqExact(body_sha256) AS bodies,
    arraySort(groupArray(locator)) AS locators
FROM delivery_rows FINAL
GROUP BY record_id
HAVING deliveries > 1
{{ comment("repeats") }};

{{ view("communications") }}

{{ table("prediction_rows") }}

{{ view("predictions") }}
