{% from "_history.sql" import history_select %}
-- One timeline a customer, over communications and business events.

CREATE VIEW IF NOT EXISTS history
{{ columns("history") }}
AS {{ history_select(number) }}
{{ comment("history") }};

-- The same for given customers through the index: fast on any size. SELECT * FROM customer_history(customer_ids = ['…'])
CREATE VIEW IF NOT EXISTS customer_history
AS {{ history_select(number, indexed=true) }}
;

CREATE VIEW IF NOT EXISTS daily_volume
{{ columns("daily_volume") }}
AS SELECT
    toDate(occurred_at, 'UTC') AS day,
    tenant,
    channel,
    direction,
    count() AS records,
    uniqExact(customer_id) AS customers,
    uniqExact(conversation_id) AS conversations
FROM communication_rows FINAL
GROUP BY day, tenant, channel, direction
{{ comment("daily_volume") }};
