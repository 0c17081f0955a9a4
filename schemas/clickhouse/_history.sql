{# The SELECT of history and of customer_history, which reads only the records of given customers. #}
{% macro of_customers(view) %}
WHERE record_id IN (SELECT record_id FROM customer_index WHERE customer_id IN {customer_ids:Array(UUID)} AND history = '{{ view }}')
  AND customer_id IN {customer_ids:Array(UUID)}
{%- endmacro %}
{% macro history_select(number, indexed=false) %}
SELECT
    customer_id,
    occurred_at,
    record_id,
    'communications' AS history,
    channel,
    concat(channel, ' ', direction) AS event,
    direction,
    contact,
    staff,
    subject AS title,
    if(reply_text != '', reply_text, body_text) AS text,
    result,
    remarks,
    need,
    sentiment,
    purchase_intent,
{% if number >= 10 %}
    need_also,
    answers,
{% endif %}
{% if number >= 13 %}
    answers_abstained,
{% endif %}
    need_abstained,
    sentiment_abstained,
    purchase_intent_abstained,
    disposition,
    talk_s,
    attachment_names,
    CAST(NULL, 'Nullable(Decimal(18, 4))') AS amount,
    '' AS currency,
    CAST(NULL, 'Nullable(Float64)') AS rating_index,
    conversation_id,
    quality_flags
FROM communications
{% if indexed %}
{{ of_customers("communications") }}
{% endif %}
UNION ALL
SELECT
    customer_id,
    occurred_at,
    record_id,
    'business_events' AS history,
    channel,
    concat(kind, ' ', action) AS event,
    '' AS direction,
    contact,
    staff,
    entity_id AS title,
    text,
    result,
    arrayStringConcat(arrayFilter(x -> x != '', [reason, handling]), '; ') AS remarks,
    '' AS need,
    '' AS sentiment,
    '' AS purchase_intent,
{% if number >= 10 %}
    CAST([], 'Array(String)') AS need_also,
    CAST(map(), 'Map(String, String)') AS answers,
{% endif %}
{% if number >= 13 %}
    CAST(map(), 'Map(String, Bool)') AS answers_abstained,
{% endif %}
    false AS need_abstained,
    false AS sentiment_abstained,
    false AS purchase_intent_abstained,
    '' AS disposition,
    CAST(NULL, 'Nullable(Float64)') AS talk_s,
    CAST([], 'Array(String)') AS attachment_names,
    amount,
    currency,
    rating_index,
    CAST(NULL, 'Nullable(UUID)') AS conversation_id,
    quality_flags
FROM business_events
{%- if indexed %}

{{ of_customers("business_events") }}
{%- endif %}
{% endmacro %}
